"""The pages that exist, in the order of the sidebar, and who may see each."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.roles import Permission
from console.visit import Visit


@dataclass(frozen=True, slots=True)
class Entry:
    """`name` is the URL's name; everything below it (`keys`, `keys-new`, …) counts as being there."""

    name: str
    label: Promise
    icon: str
    permission: Permission = Permission.VIEW


@dataclass(frozen=True, slots=True)
class Link:
    name: str
    label: str
    icon: str
    url: str
    current: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    label: str
    items: tuple[Link, ...]


GROUPS: tuple[tuple[Promise | str, tuple[Entry, ...]], ...] = (
    (
        "",
        (
            Entry("home", _("Home"), "house"),
            Entry("playground", _("Playground"), "message-square-text", Permission.USE_PLAYGROUND),
            Entry("keys", _("API keys"), "key-round"),
            Entry("models", _("Models"), "boxes"),
            Entry("routes", _("Routes"), "split"),
            Entry("route-tester", _("Route tester"), "route"),
            Entry("smoke", _("Smoke test"), "list-checks", Permission.VIEW_USAGE),
            Entry("cache", _("Cache policies"), "database-zap", Permission.VIEW_USAGE),
            Entry("nodes", _("Nodes"), "server"),
            Entry("activity", _("Activity"), "chart-column-stacked", Permission.VIEW_USAGE),
            Entry("logs", _("Logs"), "scroll-text", Permission.VIEW_USAGE),
        ),
    ),
    (
        _("Organisation"),
        (
            Entry("billing", _("Billing"), "wallet", Permission.VIEW_BILLING),
            Entry("earnings", _("Earnings"), "coins", Permission.VIEW_EARNINGS),
            Entry("payouts", _("Payouts"), "banknote", Permission.VIEW_EARNINGS),
            Entry("members", _("Members"), "users"),
            Entry("quotas", _("Quotas"), "gauge", Permission.VIEW_USAGE),
            Entry("providers", _("Providers"), "plug-zap"),
            Entry("audit", _("Audit log"), "shield-check", Permission.VIEW_AUDIT),
            Entry("settings", _("Settings"), "settings"),
        ),
    ),
    (
        _("Docs"),
        (
            Entry("causes", _("Causes"), "heart-handshake"),
            Entry("contributors", _("Contributors"), "trophy"),
            Entry("developer-guide", _("Developer guide"), "code"),
            Entry("provider-guide", _("Provider guide"), "server-cog"),
            Entry("api-reference", _("API reference"), "book-open"),
        ),
    ),
)

ACTIONS: tuple[Entry, ...] = (
    Entry("keys-new", _("Create an API key"), "plus", Permission.MANAGE_OWN_KEYS),
    Entry("routes-new", _("Write a route"), "plus", Permission.MANAGE_ROUTES),
    Entry("providers-new", _("Add a provider"), "plus", Permission.MANAGE_PROVIDERS),
    Entry("nodes-new", _("Add a machine"), "plus", Permission.MANAGE_NODES),
    Entry("members-invite", _("Invite somebody"), "user-plus", Permission.MANAGE_MEMBERS),
)


def groups(visit: Visit, current: str) -> tuple[Group, ...]:
    """Args: current: the name of the URL being shown."""
    shown = (Group(str(label), tuple(_links(entries, visit, current))) for label, entries in GROUPS)
    return tuple(group for group in shown if group.items)


def actions(visit: Visit) -> tuple[Link, ...]:
    return tuple(_links(ACTIONS, visit, ""))


def _links(entries: tuple[Entry, ...], visit: Visit, current: str) -> list[Link]:
    return [
        Link(entry.name, str(entry.label), entry.icon, reverse(entry.name), _is_at(entry.name, current))
        for entry in entries
        if visit.allows(entry.permission)
    ]


def _is_at(name: str, current: str) -> bool:
    return current == name or current.startswith(f"{name}-")
