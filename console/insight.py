"""What usage suggests: a cache policy for prompts that come again, an order of targets for each model.

Nothing is applied by itself. A policy is one click and one more to take it back; an order becomes a draft of a route,
to be tested and published like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from accounts.audit import Actor
from accounts.changes import changing
from accounts.errors import InvalidField
from accounts.models import Organization
from console.contents import excerpt
from metering import contents, findings
from metering.comparison import Served
from metering.findings import WINDOWS, Findings, Look
from metering.prompts import Order, Prediction, Prompt
from metering.tasks import hand_over_findings
from providers.schema import SUFFIXES
from providers.targets import Target
from routing.cache_rules import MODEL, ROUTE
from routing.cache_services import put_policy
from routing.drafts import save_draft
from routing.filters import PRIVATE
from routing.models import CachePolicy, Route, RouteDraft
from routing.services import RESERVED_NAMES, check_content
from routing.sources import load_wide_cache_rules
from routing.tester import targets_now
from routing.versions import content_of

__all__ = ["SHOWN", "WINDOWS"]

SHOWN = 20
ENOUGH_ATTEMPTS = 20
"""Fewer say nothing of a target."""
TOO_MANY_FAILURES = 0.05
CLEARLY = 0.8
"""Another target has to be a fifth cheaper or faster before it is worth a word."""


@dataclass(frozen=True, slots=True)
class PromptRow:
    """`covered`: a policy of the scope and subject, or a wider one, keeps its answers; `private`: none may."""

    prompt: Prompt
    prediction: Prediction | None
    scope: str
    subject: str
    covered: bool
    private: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """A target as it is now, beside what it did. `served` is None where it was not asked in the window."""

    name: str
    input_usd: float | None
    output_usd: float | None
    served: Served | None
    is_live: bool

    @property
    def price(self) -> float | None:
        """For order alone: a prompt is mostly longer than its answer."""
        return None if self.input_usd is None or self.output_usd is None else 3 * self.input_usd + self.output_usd

    @property
    def is_known(self) -> bool:
        return self.served is not None and self.served.attempts >= ENOUGH_ATTEMPTS

    @property
    def fails(self) -> bool:
        return self.is_known and self.served is not None and self.served.failure_rate > TOO_MANY_FAILURES


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`reason` is "cheaper", "faster" or "failing"; `targets` in tiers, the best first."""

    reason: str
    target: str
    than: str
    tiers: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class ModelRow:
    model: str
    offers: tuple[Offer, ...]
    suggestion: Suggestion | None


def look(organization: Organization, now: datetime, window: str) -> Look:
    """What is known of the window; a worker is sent for what is not, or no longer."""
    seen = findings.look(organization, window, now)
    if seen.is_due:
        hand_over_findings(organization, window, now)
    return seen


def prompt_rows(organization: Organization, found: Findings, order: Order, limit: int = SHOWN) -> list[PromptRow]:
    rules = load_wide_cache_rules(organization.pk)
    homes = set(Route.objects.of(organization).filter(private=True).values_list("name", flat=True))
    rows = []
    for each in found.prompts(order)[:limit]:
        prompt = each.prompt
        scope, subject = (ROUTE, prompt.route) if prompt.route else (MODEL, model_of(prompt.model))
        private = prompt.route in homes or prompt.model.endswith(f":{PRIVATE}")
        covered = not private and rules.find(prompt.route, model_of(prompt.model), "") is not None
        prediction = None if private else each.prediction
        rows.append(PromptRow(prompt, prediction, scope, subject, covered, private))
    return rows


def texts_of(organization: Organization, actor: Actor, rows: list[PromptRow]) -> dict[str, str]:
    """What the prompts of these rows say, where that is kept, by their names. Raises: NotPermitted."""
    hashes = {row.prompt.hash: row.prompt.name for row in rows}
    found = contents.latest_of(organization, actor, hashes)
    return {hashes[prompt]: excerpt(kept) for prompt, kept in found.items()}


def model_of(asked: str) -> str:
    """Without a suffix such as `:floor`, which is no part of the name that a policy covers."""
    name, _colon, suffix = asked.rpartition(":")
    return name if name and suffix in SUFFIXES else asked


def apply_cache(organization: Organization, actor: Actor, scope: str, subject: str, ttl_s: int) -> CachePolicy:
    """Raises: NotPermitted, InvalidField."""
    return put_policy(organization, actor, scope=scope, subject=subject, ttl_s=ttl_s)


def model_rows(organization: Organization, found: Findings) -> list[ModelRow]:
    """Of each model that more than one target serves, or that was asked for; those with a suggestion first."""
    targets = targets_now(organization)
    served = {each.target: each for each in found.served}
    models: dict[str, list[Offer]] = {}
    for name in sorted({*targets, *served}):
        target = targets.get(name)
        models.setdefault(_model_of_target(name, target), []).append(_offer(name, target, served.get(name)))
    rows = [ModelRow(model, tuple(offers), _suggestion(offers)) for model, offers in models.items()]
    return sorted(rows, key=lambda row: (row.suggestion is None, -_attempts(row), row.model))


def draft_order(
    organization: Organization, actor: Actor, model: str, now: datetime, window: str
) -> RouteDraft | None:
    """The suggestion for this model as a draft of the route of its name. None where nothing is suggested any more.

    Of a route that is live only the order of its targets changes: its rules, its bounds and who may serve it stay.

    Raises: NotPermitted, InvalidField; also when somebody's draft is in the way.
    """
    rows = model_rows(organization, look(organization, now, window).findings)
    row = next((row for row in rows if row.model == model), None)
    if row is None or row.suggestion is None:
        return None
    name = f"{model}-route" if model in RESERVED_NAMES else model
    with changing(organization):
        route = Route.objects.of(organization).filter(name=name).first()
        live = content_of(route) if route else {}
        legs = _reordered(live.get("targets", []), row.suggestion.tiers, model)
        wanted = {**live, "strategy": "priority", "targets": legs}
        there = RouteDraft.objects.of(organization).filter(name=name).first()
        if there is None:
            return save_draft(organization, actor, name, wanted)
        if there.content != check_content(wanted, name):
            message = _("There is a draft of “%(name)s” already. Publish or discard it first.")
            raise InvalidField.one("model", message % {"name": name})
        return there


def _reordered(legs: list[dict[str, Any]], tiers: tuple[tuple[str, ...], ...], model: str) -> list[dict[str, Any]]:
    """First what is suggested, with the weights that were set; then, as it was, what the route leads to besides."""
    weights = {leg["target"]: leg["weight"] for leg in legs}
    first = [
        {"target": name, "weight": weights.get(name, 1), "tier": tier}
        for tier, names in enumerate(tiers)
        for name in names
    ]
    moved = {leg["target"] for leg in first} | {model}
    return first + [{**leg, "tier": len(tiers) + leg["tier"]} for leg in legs if leg["target"] not in moved]


def _attempts(row: ModelRow) -> int:
    return sum(offer.served.attempts for offer in row.offers if offer.served)


def _model_of_target(name: str, target: Target | None) -> str:
    if target is not None:
        return target.model_id
    return name.split("/", 2 if name.startswith("node/") else 1)[-1]


def _offer(name: str, target: Target | None, served: Served | None) -> Offer:
    price = target.price if target else None
    input_usd = price.input_nanos / 1e9 if price else None
    output_usd = price.output_nanos / 1e9 if price else None
    return Offer(name, input_usd, output_usd, served, target is not None)


def _suggestion(offers: list[Offer]) -> Suggestion | None:
    """One failing target goes last; else one that is clearly cheaper or faster goes first."""
    live = [offer for offer in offers if offer.is_live]
    sound = [offer for offer in live if offer.is_known and not offer.fails]
    if len(live) < 2 or not sound:
        return None
    failing = [offer for offer in live if offer.fails]
    if failing:
        return _ordered("failing", failing[0], sound[0], live, last=failing)
    busiest = max(sound, key=lambda offer: offer.served.attempts if offer.served else 0)
    for reason, figure in (("cheaper", _price), ("faster", _first_token)):
        best = min(sound, key=lambda offer: figure(offer))
        if best is not busiest and figure(best) <= CLEARLY * figure(busiest) < float("inf"):
            return _ordered(reason, best, busiest, live, first=[best])
    return None


def _price(offer: Offer) -> float:
    return float("inf") if offer.price is None else offer.price


def _first_token(offer: Offer) -> float:
    found = offer.served.ttft_p50_ms if offer.served else None
    return float("inf") if found is None else found


def _ordered(
    reason: str,
    target: Offer,
    than: Offer,
    live: list[Offer],
    first: list[Offer] | None = None,
    last: list[Offer] | None = None,
) -> Suggestion:
    first, last = first or [], last or []
    middle = [offer for offer in live if offer not in first and offer not in last]
    tiers = tuple(tuple(offer.name for offer in tier) for tier in (first, middle, last) if tier)
    return Suggestion(reason, target.name, than.name, tiers)
