"""What every template may ask for: the theme, and the frame around a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import Organization
from accounts.roles import Permission
from console import navigation
from console.navigation import Group, Link
from console.visit import Visit, find_visit
from metering.standing import Standing, marked_of
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
    own = Organization.objects.filter(memberships__user=visit.user, deleted_at=None).order_by("name")
    groups, actions = navigation.groups(visit, current or ""), navigation.actions(visit)
    is_there = (current or "").startswith("quotas")  # the page itself says more
    budgets = () if is_there else _budgets(visit)
    sees_billing = visit.allows(Permission.VIEW_BILLING)
    return Chrome(visit.organization, tuple(own), groups, actions, _notices(visit), budgets, sees_billing)


def _notices(visit: Visit) -> tuple[Alert, ...]:
    """What those who can do something about it are to know on every page."""
    if not visit.allows(Permission.MANAGE_PROVIDERS):
        return ()
    return tuple(open_alerts(visit.organization, of_platform=visit.user.is_staff)[:_MOST_NOTICES])


def _budgets(visit: Visit) -> tuple[Standing, ...]:
    """Those that are nearly or wholly used, for who may change them or pays."""
    if not (visit.allows(Permission.MANAGE_LIMITS) or visit.allows(Permission.VIEW_BILLING)):
        return ()
    return tuple(marked_of(visit.organization)[:_MOST_NOTICES])
