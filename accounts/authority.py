"""What an actor may do in an organisation. Every service asks here, whichever door it was called through.

A person has the role of the membership. A key with the scope `manage` acts as an admin, and the system as an owner.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q
from django.utils import timezone

from accounts import roles
from accounts.audit import Actor
from accounts.authentication import MANAGE
from accounts.errors import NotPermitted
from accounts.models import ApiKey, Membership, Organization


@dataclass(frozen=True, slots=True)
class Authority:
    role: str
    user_id: int | None = None

    def allows(self, permission: roles.Permission) -> bool:
        return roles.allows(self.role, permission)

    def require(self, permission: roles.Permission) -> None:
        if not self.allows(permission):
            raise NotPermitted(permission)


NOBODY = Authority("")


def authority_of(organization: Organization, actor: Actor) -> Authority:
    if actor.type == "system":
        return Authority(roles.OWNER)
    if actor.type == "key":
        return Authority(roles.ADMIN) if _is_managing_key(organization, actor.id) else NOBODY
    membership = Membership.objects.of(organization).filter(user_id=int(actor.id), user__is_active=True).first()
    return Authority(membership.role, membership.user_id) if membership else NOBODY


def require(organization: Organization, actor: Actor, permission: roles.Permission) -> Authority:
    """Raises: NotPermitted."""
    authority = authority_of(organization, actor)
    authority.require(permission)
    return authority


def _is_managing_key(organization: Organization, public_id: str) -> bool:
    valid = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    keys = ApiKey.objects.of(organization).filter(valid, public_id=public_id, revoked_at=None)
    return keys.filter(scopes__contains=[MANAGE]).exists()
