"""Roles of a membership and what each may do. A view asks for a permission, never for a role."""

from __future__ import annotations

from enum import StrEnum

from django.utils.translation import gettext_lazy as _


class Permission(StrEnum):
    VIEW = "view"
    USE_PLAYGROUND = "use_playground"
    MANAGE_OWN_KEYS = "manage_own_keys"
    MANAGE_KEYS = "manage_keys"
    MANAGE_PROVIDERS = "manage_providers"
    MANAGE_NODES = "manage_nodes"
    MANAGE_ROUTES = "manage_routes"
    MANAGE_LIMITS = "manage_limits"
    VIEW_USAGE = "view_usage"
    VIEW_BILLING = "view_billing"
    MANAGE_BILLING = "manage_billing"
    VIEW_EARNINGS = "view_earnings"
    MANAGE_EARNINGS = "manage_earnings"
    VIEW_AUDIT = "view_audit"
    VIEW_CONTENT = "view_content"
    MANAGE_MEMBERS = "manage_members"
    MANAGE_ORGANIZATION = "manage_organization"
    MANAGE_OWNERS = "manage_owners"
    DELETE_ORGANIZATION = "delete_organization"


P = Permission

OWNER, ADMIN, DEVELOPER, BILLING, AUDITOR, PROVIDER, VIEWER = (
    "owner",
    "admin",
    "developer",
    "billing",
    "auditor",
    "provider",
    "viewer",
)

ROLES = {
    OWNER: _("Owner: everything, and may delete or hand over the organisation"),
    ADMIN: _("Admin: everything but deleting the organisation and its owners"),
    DEVELOPER: _("Developer: creates keys, uses the Playground, reads usage and logs"),
    BILLING: _("Billing: pays, reads usage and invoices"),
    AUDITOR: _("Auditor: reads everything, the audit log too, changes nothing"),
    PROVIDER: _("Provider: registers machines and sees what they serve and earn"),
    VIEWER: _("Viewer: reads models, usage and settings"),
}

ROLE_NAMES = {
    OWNER: _("Owner"),
    ADMIN: _("Admin"),
    DEVELOPER: _("Developer"),
    BILLING: _("Billing"),
    AUDITOR: _("Auditor"),
    PROVIDER: _("Provider"),
    VIEWER: _("Viewer"),
}

GRANTS: dict[str, frozenset[Permission]] = {
    OWNER: frozenset(Permission),
    ADMIN: frozenset(Permission) - {P.MANAGE_OWNERS, P.DELETE_ORGANIZATION},
    DEVELOPER: frozenset({P.VIEW, P.USE_PLAYGROUND, P.MANAGE_OWN_KEYS, P.VIEW_USAGE}),
    BILLING: frozenset({P.VIEW, P.VIEW_USAGE, P.VIEW_BILLING, P.MANAGE_BILLING, P.VIEW_EARNINGS, P.MANAGE_EARNINGS}),
    AUDITOR: frozenset({P.VIEW, P.VIEW_USAGE, P.VIEW_BILLING, P.VIEW_EARNINGS, P.VIEW_AUDIT, P.VIEW_CONTENT}),
    PROVIDER: frozenset({P.VIEW, P.USE_PLAYGROUND, P.MANAGE_NODES, P.VIEW_USAGE, P.VIEW_EARNINGS}),
    VIEWER: frozenset({P.VIEW, P.VIEW_USAGE}),
}


def allows(role: str, permission: Permission) -> bool:
    return permission in GRANTS.get(role, frozenset())
