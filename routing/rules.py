"""Rules of a route as values: *when* … *use* … *then fall back to* …, and whether one fits a request.

The grammar is closed: what is not here cannot be said. Nothing here does I/O; what a request brings is in `Facts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain

import msgspec

from providers.failures import TIMEOUTS, Kind
from routing.legs import RouteTarget
from routing.scorers import STRATEGIES

DATA_CLASSES = ("public", "internal", "confidential", "restricted")
SECRET_HEADERS = frozenset({"authorization", "x-api-key", "api-key", "cookie"})
MINUTES_A_DAY = 24 * 60
MOST_TOKENS = 10_000_000
MOST_PERCENT = 1000
MOST_WEIGHT, MOST_TIER = 10_000, 100

UNAVAILABLE = "unavailable"
"""The cause of a fallback when no target of the rule may serve at all: nothing was tried, so nothing failed."""

CAUSES: Mapping[str, frozenset[Kind]] = {
    "connection": frozenset(
        {Kind.DNS, Kind.CONNECT, Kind.TLS, Kind.RESET, Kind.REFUSED_EGRESS, Kind.INTERRUPTED, Kind.BUSY}
    ),
    "timeout": TIMEOUTS,
    "server_error": frozenset({Kind.SERVER_ERROR, Kind.REDIRECT}),
    "rate_limit": frozenset({Kind.RATE_LIMITED}),
    "refused_key": frozenset({Kind.UNAUTHORIZED}),
    "missing_model": frozenset({Kind.NOT_FOUND}),
    "bad_answer": frozenset({Kind.MALFORMED, Kind.ERROR_IN_BODY, Kind.EMPTY, Kind.TOO_LARGE}),
    UNAVAILABLE: frozenset(),
}
"""The words for failures after which another target is asked. A request that is itself at fault is no cause."""


class Use(msgspec.Struct, frozen=True):
    """Targets, and how to choose among them."""

    strategy: str
    legs: tuple[RouteTarget, ...]


class Fallback(msgspec.Struct, frozen=True):
    """`causes` empty stands for any."""

    use: Use
    causes: tuple[str, ...] = ()

    @property
    def comes_untried(self) -> bool:
        """Whether it comes when no target before it may serve at all."""
        return not self.causes or UNAVAILABLE in self.causes


@lru_cache(256)
def kinds_of(causes: tuple[str, ...]) -> frozenset[Kind] | None:
    """The failures that these causes are; None: any."""
    return frozenset().union(*(CAUSES[cause] for cause in causes)) if causes else None


class Hours(msgspec.Struct, frozen=True):
    """From a minute of the organisation's day up to, not including, another; past midnight where that is the earlier
    one."""

    start: int
    end: int

    def include(self, minute: int) -> bool:
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


class When(msgspec.Struct, frozen=True):
    """Each condition that is set must hold; of several values of one, any."""

    models: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    data_classes: tuple[str, ...] = ()
    prompt_over_tokens: int | None = None
    prompt_under_tokens: int | None = None
    budget_over_percent: int | None = None
    hours: Hours | None = None


ALWAYS = When()


class Rule(msgspec.Struct, frozen=True):
    use: Use
    when: When = ALWAYS
    fallbacks: tuple[Fallback, ...] = ()


class Facts(msgspec.Struct, frozen=True):
    """What a request brings to its rules. `models` are all names that it asks for, `keys` the id and the name of its
    key; `headers` by lower-case names; `minute` of the organisation's day."""

    models: frozenset[str]
    keys: frozenset[str] = frozenset()
    member: str = ""
    tags: frozenset[str] = frozenset()
    headers: Mapping[str, str] = {}
    data_class: str = ""
    prompt_tokens: int = 0
    budget_percent: float = 0.0
    minute: int = 0


def gettext_noop(text: str) -> str:
    """Marks a text for translation, which happens where people read it: what serves requests knows no Django."""
    return text


class RuleInvalid(ValueError):
    """A rule that cannot be: what is wrong, for the person who wrote it. `text` has places for the `values`."""

    def __init__(self, text: str, **values: object) -> None:
        super().__init__(text % values if values else text)
        self.text = text
        self.values = values


def matches(when: When, facts: Facts) -> bool:
    return (
        (not when.models or not facts.models.isdisjoint(when.models))
        and (not when.keys or not facts.keys.isdisjoint(when.keys))
        and (not when.members or facts.member in when.members)
        and (not when.tags or not facts.tags.isdisjoint(when.tags))
        and (not when.data_classes or facts.data_class in when.data_classes)
        and all(facts.headers.get(name) in values for name, values in when.headers)
        and (when.prompt_over_tokens is None or facts.prompt_tokens > when.prompt_over_tokens)
        and (when.prompt_under_tokens is None or facts.prompt_tokens < when.prompt_under_tokens)
        and (when.budget_over_percent is None or facts.budget_percent > when.budget_over_percent)
        and (when.hours is None or when.hours.include(facts.minute))
    )


def first_match(rules: Iterable[Rule], facts: Facts) -> tuple[int, Rule] | None:
    """The first rule that fits decides; with its number, from 1."""
    return next((found for found in enumerate(rules, 1) if matches(found[1].when, facts)), None)


def check(rule: Rule) -> None:
    """Raises: RuleInvalid: something that the grammar can say and that makes no sense."""
    when = rule.when
    over, under = when.prompt_over_tokens, when.prompt_under_tokens
    if over is not None and under is not None and under <= over + 1:
        raise RuleInvalid(
            gettext_noop("no prompt is over %(over)d and under %(under)d tokens"), over=over, under=under
        )
    if when.hours is not None and when.hours.start == when.hours.end:
        raise RuleInvalid(gettext_noop("the hours begin and end at the same time"))
    if unknown := set(when.data_classes) - set(DATA_CLASSES):
        text = gettext_noop("there is no data class “%(name)s”; there are %(names)s")
        raise RuleInvalid(text, name=min(unknown), names=", ".join(DATA_CLASSES))
    if any(name in SECRET_HEADERS for name, _values in when.headers):
        raise RuleInvalid(gettext_noop("a rule does not ask for headers that carry secrets"))
    _check_fallbacks(rule)
    for use in (rule.use, *(fallback.use for fallback in rule.fallbacks)):
        _check_use(use)


def targets_of(rule: Rule) -> list[str]:
    """Every name that the rule leads to."""
    uses = (rule.use, *(fallback.use for fallback in rule.fallbacks))
    return [leg.target for leg in chain.from_iterable(use.legs for use in uses)]


def _check_fallbacks(rule: Rule) -> None:
    caught: set[str] = set()
    for fallback in rule.fallbacks:
        if caught == set(CAUSES) or (fallback.causes and set(fallback.causes) <= caught):
            raise RuleInvalid(gettext_noop("a fallback comes after others that leave nothing to it"))
        caught |= set(fallback.causes or CAUSES)


def _check_use(use: Use) -> None:
    if use.strategy not in STRATEGIES:
        text = gettext_noop("there is no strategy “%(name)s”; there are %(names)s")
        raise RuleInvalid(text, name=use.strategy, names=", ".join(STRATEGIES))
    if not use.legs:
        raise RuleInvalid(gettext_noop("a rule leads to at least one target"))
    if any(leg.weight > MOST_WEIGHT or leg.tier > MOST_TIER for leg in use.legs):
        text = gettext_noop("a weight is at most %(weight)d, a tier at most %(tier)d")
        raise RuleInvalid(text, weight=MOST_WEIGHT, tier=MOST_TIER)
    if not any(leg.weight for leg in use.legs):
        raise RuleInvalid(gettext_noop("at least one target has a weight above 0"))
