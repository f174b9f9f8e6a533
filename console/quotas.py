"""Whose limits and budgets there are to set, and how each stands: of whom, by what, and where it is served."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.http import Http404

from accounts import limits, members
from accounts.limits import Figures, figures_of
from accounts.models import ApiKey, Limit
from accounts.scopes import KEY, MEMBER, MODEL, NODE, ORGANISATION, ROUTE
from console.offers import served_models
from console.visit import Visit
from metering.in_use import InUse, in_use
from metering.standing import Standing, standings_of
from nodes.services import nodes_of
from routing.models import Route


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose limits they are. `id` is what addresses call it, `stored` what `accounts.models.Limit` does."""

    scope: str
    id: str
    stored: str
    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    subject: Subject
    figures: Figures
    budgets: list[Standing] = field(default_factory=list)
    rates: list[InUse] = field(default_factory=list)

    @property
    def is_set(self) -> bool:
        return bool(self.budgets or self.rates)


def rows_of(visit: Visit) -> dict[str, list[Row]]:
    """By scope, those that have limits before those that have none."""
    organization = visit.organization
    stored = {(row.scope, row.subject): row for row in _limits(visit)}
    rates = in_use(stored.values())
    standings: dict[int, list[Standing]] = {}
    for standing in standings_of(organization):
        standings.setdefault(standing.limit.pk, []).append(standing)
    found: dict[str, list[Row]] = {}
    for subject in subjects_of(visit):
        row = stored.get((subject.scope, subject.stored))
        budgets = standings.get(row.pk, []) if row else []
        found.setdefault(subject.scope, []).append(
            Row(subject, figures_of(row), sorted(budgets, key=_order), rates[row.pk] if row else [])
        )
    for rows in found.values():
        rows.sort(key=lambda row: (not row.is_set, row.subject.name.lower()))
    return found


def subjects_of(visit: Visit) -> Iterable[Subject]:
    organization = visit.organization
    yield Subject(ORGANISATION, "", "", organization.name)
    for member in members.members_of(organization).select_related("user"):
        user = member.user
        yield Subject(MEMBER, member.public_id, str(member.user_id), user.get_short_name(), user.email)
    keys = ApiKey.objects.of(organization).filter(is_ephemeral=False, revoked_at=None).select_related("replaces")
    for key in keys:
        yield Subject(KEY, key.public_id, limits.subject_of_key(key), key.name, f"{key.prefix}…")
    routes = [route.name for route in Route.objects.of(organization).order_by("name")]
    yield from (Subject(ROUTE, name, name, name) for name in routes)
    yield from (Subject(MODEL, name, name, name) for name in sorted(served_models(organization)))
    for node in nodes_of(organization).filter(revoked_at=None):
        yield Subject(NODE, node.public_id, node.public_id, node.name, f"node/{node.slug}")


def find_subject(visit: Visit, scope: str, subject_id: str) -> Subject:
    """Raises: Http404: this organisation has none such."""
    for subject in subjects_of(visit):
        if (subject.scope, subject.id) == (scope, subject_id):
            return subject
    raise Http404


def _limits(visit: Visit) -> Iterable[Limit]:
    return Limit.objects.of(visit.organization).prefetch_related("budgets")


def _order(standing: Standing) -> tuple[bool, str, str]:
    return standing.ends_at is None, standing.window, standing.unit
