"""What every template may ask for: the theme, and the frame around a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Exists
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import Organization
from accounts.roles import Permission
from console import navigation
from console.navigation import Group, Link
from console.visit import Visit, find_visit
from metering.standing import Standing, marked_of, told_of
from providers.alerts import open_alerts
from providers.models import Alert

_MOST_NOTICES = 3
THEME_COOKIE = "theme"
THEMES = ("light", "dark")


@dataclass(frozen=True, slots=True)
class Chrome:
    organization: Organization | None = None
    organizations: tuple[Organization, ...] = ()
    navigation: tuple[Group, ...] = ()
    actions: tuple[Link, ...] = ()
    notices: tuple[Alert, ...] = ()
    budgets: tuple[Standing, ...] = ()
    sees_billing: bool = False


def chrome(request: HttpRequest) -> dict[str, Any]:
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return {
        "theme": theme if theme in THEMES else "",
        "chrome": SimpleLazyObject(lambda: _chrome(request)),
    }


def _chrome(request: HttpRequest) -> Chrome:
    visit = find_visit(request) if hasattr(request, "user") else None
    if visit is None:
        return Chrome()
    current = request.resolver_match.url_name if request.resolver_match else ""
    own = sorted((membership.org for membership in visit.memberships), key=lambda one: one.name)
    groups, actions = navigation.groups(visit, current or ""), navigation.actions(visit)
    notices, budgets = _warnings(visit, current or "")
    sees_billing = visit.allows(Permission.VIEW_BILLING)
    return Chrome(visit.organization, tuple(own), groups, actions, notices, budgets, sees_billing)


def _warnings(visit: Visit, current: str) -> tuple[tuple[Alert, ...], tuple[Standing, ...]]:
    """Alerts for who can do something about them, and marked budgets for who may change them or pays.

    One question tells whether there is any, which mostly there is not. The page of quotas says more by itself.
    """
    alerts = open_alerts(visit.organization, of_platform=visit.user.is_staff)
    told = told_of(visit.organization)
    rows = Organization.objects.filter(pk=visit.organization.pk).values_list(Exists(alerts), Exists(told))
    are_alerts, are_budgets = rows.first() or (False, False)
    sees_alerts = visit.allows(Permission.MANAGE_PROVIDERS)
    sees_budgets = visit.allows(Permission.MANAGE_LIMITS) or visit.allows(Permission.VIEW_BILLING)
    is_there = current.startswith("quotas")
    return (
        tuple(alerts[:_MOST_NOTICES]) if are_alerts and sees_alerts else (),
        tuple(marked_of(visit.organization)[:_MOST_NOTICES]) if are_budgets and sees_budgets and not is_there else (),
    )
