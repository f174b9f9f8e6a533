"""Use cases of routes: put, remove, list what can be routed to. Shared by pages and the management API."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.audit import Actor, record
from accounts.authority import authority_of
from accounts.changes import changing
from accounts.errors import InvalidField
from accounts.models import Organization
from accounts.roles import Permission
from common.ids import new_id
from common.numbers import is_number, is_whole
from nodes.sources import load_targets as load_machines
from providers.models import ServedModel
from routing.cache_services import set_route_ttl
from routing.models import Route
from routing.rules import RuleInvalid, targets_of
from routing.scorers import STRATEGIES
from routing.sentences import parsed, rendered
from routing.stream_policies import check_streams
from routing.versions import content_of, keep_version

MOST_TARGETS = 50
MOST_TIERS = 100
MOST_RULES = 50
MOST_WEIGHT = 10_000
LONGEST_FIRST_BYTE_S = 300
MOST_QUEUE = 100_000
RESERVED_NAMES = frozenset({"explain", "simulate"})
RESERVED_ENDINGS = ("/versions", "/rollback", "/draft", "/publish", "/canary", "/promote")


def put_route(
    organization: Organization, actor: Actor, name: str, given: Mapping[str, Any], *, restored: int | None = None
) -> Route:
    """Makes the route of this name, or replaces it.

    Args:
        given: `strategy`, `targets` as `[{"target", "weight"?, "tier"?}]`, `timeouts` as `{"first_byte_s"?}`,
            `enabled`, `private` (own machines only), `spill_over` as `{"queue_above"?, "first_token_above_s"?}`,
            `rules` as sentences, of which the first that fits a request decides, and what `routing.stream_policies`
            checks.
        restored: the version that is brought back by this.

    Raises:
        NotPermitted: the actor may not manage routes.
        InvalidField: naming the field; a target that does not exist by its name.
    """
    content = check_content(given, name)
    name = route_name(name)
    with changing(organization):
        authority_of(organization, actor).require(Permission.MANAGE_ROUTES)
        require_targets(organization, content)
        route = Route.objects.filter(org=organization, name=name).first()
        before = described(route) if route else None
        route = route or Route(org=organization, public_id=new_id("route"), name=name)
        for field, value in content.items():
            setattr(route, field, value)
        route.save()
        keep_version(route, actor, restored)
        action = "route.updated" if before else "route.created"
        record(
            organization, actor, action, "route", route.public_id, label=name, before=before, after=described(route)
        )
    return route


def delete_route(route: Route, actor: Actor) -> None:
    organization = route.org
    with changing(organization):
        authority_of(organization, actor).require(Permission.MANAGE_ROUTES)
        before = described(route)
        record(organization, actor, "route.deleted", "route", route.public_id, label=route.name, before=before)
        set_route_ttl(organization, actor, route.name, None)
        route.delete()


def described(route: Route) -> dict[str, Any]:
    return {"name": route.name, **content_of(route)}


def check_content(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a route of this name says, whole and in its stored form. Raises: InvalidField."""
    content = {
        "strategy": _strategy(given.get("strategy", "priority")),
        "targets": _targets(given.get("targets"), name),
        "timeouts": _timeouts(given.get("timeouts") or {}),
        "enabled": bool(given.get("enabled", True)),
        "private": bool(given.get("private", False)),
        "spill_over": _spill_over(given.get("spill_over")),
        "rules": [_rule(sentence, at, name) for at, sentence in enumerate(_listed(given.get("rules")))],
        **check_streams(given),
    }
    if content["private"] and content["spill_over"]:
        raise InvalidField.one("spill_over", _("A private route never leaves your own machines."))
    return content


def route_name(name: str) -> str:
    """The name without blanks around it. Raises: InvalidField."""
    cleaned = name.strip()
    if cleaned in RESERVED_NAMES or cleaned.endswith(RESERVED_ENDINGS):
        raise InvalidField.one("name", _("This name has another meaning in the management API; choose another one."))
    if not cleaned or len(cleaned) > 200 or any(character.isspace() or character == ":" for character in cleaned):
        raise InvalidField.one("name", _("Use a name of at most 200 characters, without spaces and colons."))
    return cleaned


def _strategy(strategy: Any) -> str:
    if strategy not in STRATEGIES:
        raise InvalidField.one("strategy", _("Choose one of: %(names)s.") % {"names": ", ".join(STRATEGIES)})
    return str(strategy)


def _targets(targets: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(targets, Sequence) or isinstance(targets, str) or not 0 < len(targets) <= MOST_TARGETS:
        raise InvalidField.one("targets", _("Give between 1 and %(most)d targets.") % {"most": MOST_TARGETS})
    return [_target(target, name) for target in targets]


def _target(given: Any, name: str) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not isinstance(given.get("target"), str) or not given["target"]:
        raise InvalidField.one("targets", _("Each target names a model, or a connection and a model with a slash."))
    if given["target"] == name:
        raise InvalidField.one("targets", _("A route cannot lead to itself."))
    return {
        "target": given["target"],
        "weight": _count(given.get("weight", 1), MOST_WEIGHT),
        "tier": _count(given.get("tier", 0), MOST_TIERS),
    }


def require_targets(organization: Organization, content: Mapping[str, Any]) -> None:
    """What is switched off exists; what another organisation has does not. Raises: InvalidField."""
    known = _targets_in_sight(organization)
    routes = set(Route.objects.filter(org=organization).values_list("name", flat=True))
    _require("targets", [leg["target"] for leg in content["targets"]], known, routes)
    for at, sentence in enumerate(content.get("rules", ())):
        _require(f"rules.{at}", targets_of(parsed(sentence)), known, routes)


def _require(param: str, names: Sequence[str], known: set[str], routes: set[str]) -> None:
    for name in names:
        if name in known:
            continue
        if name in routes:
            message = _("“%(name)s” is a route. Routes lead to models and targets only, never in a circle.")
            raise InvalidField.one(param, message % {"name": name})
        near = difflib.get_close_matches(name, known, n=1)
        message = _("There is no model or target “%(name)s”.") % {"name": name}
        hint = _("Did you mean “%(name)s”?") % {"name": near[0]} if near else ""
        raise InvalidField.one(param, f"{message} {hint}".strip())


def _listed(rules: Any) -> Sequence[Any]:
    if rules is None:
        return ()
    if not isinstance(rules, Sequence) or isinstance(rules, str) or len(rules) > MOST_RULES:
        raise InvalidField.one("rules", _("Give a list of at most %(most)d rules.") % {"most": MOST_RULES})
    return rules


def _rule(sentence: Any, at: int, name: str) -> str:
    """In the form in which it is stored."""
    if not isinstance(sentence, str):
        raise InvalidField.one(f"rules.{at}", _("A rule is a sentence."))
    try:
        rule = parsed(sentence)
    except RuleInvalid as mistake:
        raise InvalidField.one(
            f"rules.{at}", _(mistake.text) % mistake.values if mistake.values else _(mistake.text)
        ) from None
    if name.strip() in targets_of(rule):
        raise InvalidField.one(f"rules.{at}", _("A route cannot lead to itself."))
    return rendered(rule)


def _targets_in_sight(organization: Organization) -> set[str]:
    """Every name that a leg may have: a model, or one pinned to its connection or machine."""
    served = ServedModel.objects.filter(Q(org=organization) | Q(org=None))
    pairs = served.values_list("connection__slug", "model_id")
    names = {name for slug, model in pairs for name in (model, f"{slug}/{model}")}
    for machine in load_machines(organization.pk, uses_community=organization.uses_community_nodes):
        names |= {machine.name} if machine.named_only else {machine.name, machine.model_id}
    return names


def _count(value: Any, most: int) -> int:
    if not is_whole(value, 0, most):
        raise InvalidField.one("targets", _("Weight and tier are whole numbers from 0 to %(most)d.") % {"most": most})
    return value


def _timeouts(given: Any) -> dict[str, float]:
    first_byte_s = given.get("first_byte_s") if isinstance(given, Mapping) else "wrong"
    if first_byte_s is None:
        return {}
    if not is_number(first_byte_s) or not 0 < first_byte_s <= LONGEST_FIRST_BYTE_S:
        message = _("first_byte_s is a number of seconds up to %(most)d.")
        raise InvalidField.one("timeouts", message % {"most": LONGEST_FIRST_BYTE_S})
    return {"first_byte_s": float(first_byte_s)}


def _spill_over(given: Any) -> dict[str, float] | None:
    if given is None:
        return None
    if not isinstance(given, Mapping) or given.keys() - {"queue_above", "first_token_above_s"}:
        raise InvalidField.one("spill_over", _("Give queue_above, first_token_above_s, or both."))
    bounds = {name: value for name, value in given.items() if value is not None}
    queue, slow_s = bounds.get("queue_above", 0), bounds.get("first_token_above_s", 1)
    if not is_whole(queue, 0, MOST_QUEUE):
        raise InvalidField.one("spill_over", _("queue_above is a whole number of requests, 0 or more."))
    if not is_number(slow_s) or not 0 < slow_s <= LONGEST_FIRST_BYTE_S:
        message = _("first_token_above_s is a number of seconds up to %(most)d.")
        raise InvalidField.one("spill_over", message % {"most": LONGEST_FIRST_BYTE_S})
    return bounds or None
