"""Loads snapshots from PostgreSQL: blocking, run in a thread by `routing.snapshots`, never on a request's path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

import msgspec
from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q
from django.utils import timezone

from accounts import sources as accounts
from accounts.database import giving_back
from accounts.key_lines import KeyLines
from accounts.sources import OrgRecord
from ledger import kinds
from ledger.models import Account
from metering.bounds import limits_of
from metering.budgets import Purses, budgets_of, purses_of
from nodes import sources as nodes
from providers import sources as providers
from providers.targets import Target
from routing import snapshots
from routing.cache_rules import KEY, NO_RULES, CacheRule, CacheRules, Semantic
from routing.canary_draw import CANARY, STABLE, variant_of
from routing.health_rows import load_shared_health, write_breakers
from routing.legs import RouteTarget
from routing.models import CachePolicy, CachePurge, Canary, Drill, Route
from routing.sentences import parsed
from routing.snapshots import Loader, OrgSnapshot, RouteRecord, SpillOver, snapshot_of
from routing.stream_policies import hedge_of
from routing.upper_bounds import is_sold
from routing.versions import stored

P = ParamSpec("P")
R = TypeVar("R")

UNAVAILABLE = (OperationalError, InterfaceError)
HEALTH_UNAVAILABLE = (DatabaseError, InterfaceError)
"""Serving goes on without news of health whatever is wrong, a table that is not migrated yet included."""


def _apart(function: Callable[P, R]) -> Callable[P, R]:
    """On a connection of the thread's own, kept: pages that queue for the pool must not delay the data plane."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.settings_dict["OPTIONS"].get("pool"):
            connections[DEFAULT_DB_ALIAS] = _kept(connections[DEFAULT_DB_ALIAS])
        close_old_connections()
        return function(*args, **kwargs)

    return wrapped


def _at_one_moment(function: Callable[P, R]) -> Callable[P, R]:
    """All that is read is of the same moment: a new route never comes with the limits from before it."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return function(*args, **kwargs)

    return wrapped


def _kept(pooled: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    own = pooled.copy()
    del own.settings_dict["OPTIONS"]["pool"]
    own.settings_dict["CONN_MAX_AGE"] = None
    return own


def load_snapshot(org_id: int) -> OrgSnapshot | None:
    organization = accounts.load_organization(org_id)
    if organization is None:
        return None
    limits = accounts.load_limits(org_id)
    targets = load_targets(org_id, organization.uses_community_nodes)
    return snapshot_of(
        org_id=org_id,
        slug=organization.slug,
        version=organization.version,
        default_strategy=organization.default_strategy,
        keys=accounts.load_keys(org_id),
        targets=targets,
        routes=load_routes(org_id),
        cache=load_cache_rules(org_id),
        drills=load_drills(org_id),
        limits=limits_of(org_id, limits),
        budgets=budgets_of(org_id, limits, load_purses(organization, targets)),
        time_zone=organization.time_zone,
    )


def load_targets(org_id: int, uses_community: bool) -> list[Target]:
    """Of providers and of machines."""
    return [*providers.load_targets(org_id), *nodes.load_targets(org_id, uses_community=uses_community)]


def load_purses(organization: OrgRecord, targets: Iterable[Target]) -> Purses | None:
    """None where nobody has to be paid, or the operator asks nobody for credits."""
    org_id = organization.id
    if not settings.CREDITS_REQUIRED or not any(is_sold(target, org_id) for target in targets):
        return None
    return purses_of(
        org_id,
        has_tokens=Account.objects.filter(org_id=org_id, kind=kinds.TOKENS).exists(),
        order=organization.spending_order,
        backup=organization.credit_backup,
        unlike=organization.credit_backup_unlike,
    )


def load_drills(org_id: int) -> dict[str, float]:
    """Until when each target counts as down, in Unix time. The end of a drill needs no reload."""
    rows = Drill.objects.filter(org_id=org_id, until__gt=timezone.now()).order_by("until")
    return {row.target: row.until.timestamp() for row in rows}


def load_cache_rules(org_id: int) -> CacheRules:
    by_scope = _rules_by_scope(org_id)
    if not by_scope:
        return NO_RULES
    if KEY in by_scope:
        by_scope[KEY] = _of_lines(org_id, by_scope[KEY])
    return CacheRules(by_scope, dict(CachePurge.objects.filter(org_id=org_id).values_list("name", "count")))


def load_wide_cache_rules(org_id: int) -> CacheRules:
    """Those of no key in particular, without what was purged."""
    by_scope = _rules_by_scope(org_id)
    by_scope.pop(KEY, None)
    return CacheRules(by_scope)


def _rules_by_scope(org_id: int) -> dict[str, dict[str, CacheRule]]:
    by_scope: dict[str, dict[str, CacheRule]] = {}
    for row in CachePolicy.objects.filter(org_id=org_id):
        by_scope.setdefault(row.scope, {})[row.subject] = CacheRule(
            row.ttl_s, row.per_key, Semantic(**row.semantic) if row.semantic else None
        )
    return by_scope


def _of_lines(org_id: int, rules: dict[str, CacheRule]) -> dict[str, CacheRule]:
    """A key's rule is that of all which it replaced and which replace it; the newest's, where several have some."""
    lines = KeyLines(org_id)
    spread: dict[str, CacheRule] = {}
    for line in {lines.of(public_id) for public_id in rules}:
        rule = next(rules[public_id] for public_id in reversed(line) if public_id in rules)
        spread.update(dict.fromkeys(line, rule))
    return spread


def load_routes(org_id: int) -> list[RouteRecord]:
    """A private route that is switched off stays as one that leads nowhere: its name must not fall to whoever serves
    a model of that name."""
    rows = Route.objects.filter(Q(enabled=True) | Q(private=True), org_id=org_id)
    canaries = {row.route_id: row for row in Canary.objects.filter(org_id=org_id, state=Canary.RUNNING)}
    return [_with_canary(row, canaries.get(row.pk)) for row in rows]


def _with_canary(row: Route, canary: Canary | None) -> RouteRecord:
    route = route_record(row)
    if canary is None or not row.enabled:
        return route
    other = route_record(Route(org_id=row.org_id, name=row.name, **stored(canary.content)))
    other = msgspec.structs.replace(other, variant=variant_of(canary.public_id, CANARY))
    return msgspec.structs.replace(
        route,
        canary=snapshots.Canary(canary.percent, other),
        variant=variant_of(canary.public_id, STABLE),
    )


def route_record(row: Route) -> RouteRecord:
    legs = tuple(
        RouteTarget(str(leg["target"]), int(leg.get("weight", 1)), int(leg.get("tier", 0)))
        for leg in (row.targets if row.enabled else ())
    )
    spill_over = SpillOver(**row.spill_over) if row.spill_over else None
    return RouteRecord(
        name=row.name,
        strategy=row.strategy,
        legs=legs,
        first_byte_s=row.timeouts.get("first_byte_s"),
        private=row.private,
        spill_over=spill_over,
        rules=tuple(map(parsed, row.rules)) if row.enabled else (),
        continue_streams=row.continue_streams,
        hedge=hedge_of(row.hedge),
    )


LOOK_AT_HEALTH = _apart(load_shared_health)
WRITE_BREAKERS = giving_back(write_breakers)
WRITE_LAST_USED = giving_back(accounts.touch_last_used)

LOADER = Loader(
    find_key_orgs=_apart(accounts.find_key_orgs),
    load=_apart(_at_one_moment(load_snapshot)),
    load_versions=_apart(accounts.load_versions),
)
