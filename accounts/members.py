"""Use cases of memberships: change a role, remove, leave, hand the organisation over.

Only who may `manage_owners` touches an owner or makes one, and one owner always stays. Keys never outlive the right
by which they were made: a removal ends all keys in that person's name, a lesser role those it could not make.
"""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import audit, fields, keys
from accounts.authority import Authority, require
from accounts.changes import changing
from accounts.errors import InvalidField, LastOwner, NotPermitted
from accounts.models import Membership, Organization
from accounts.roles import ADMIN, OWNER, Permission


def members_of(organization: Organization) -> QuerySet[Membership]:
    return Membership.objects.of(organization).select_related("user").order_by("created_at", "pk")


def change_role(membership: Membership, actor: audit.Actor, role: str) -> Membership:
    """Also revokes the keys that only the old role could make in the member's name.

    Raises:
        NotPermitted, InvalidField, LastOwner, OrganizationGone; Membership.DoesNotExist when gone meanwhile.
    """
    role = fields.cleaned_role(role)
    with changing(membership.org) as held:
        rights = require(held, actor, Permission.MANAGE_MEMBERS)
        current = _current(held, membership)
        _require_right_over(rights, current.role, role)
        if current.role != role:
            _change_role(held, actor, current, role)
    return current


def remove_member(membership: Membership, actor: audit.Actor) -> None:
    """Also revokes the keys in the member's name. Raises: as `change_role`."""
    with changing(membership.org) as held:
        rights = require(held, actor, Permission.MANAGE_MEMBERS)
        current = _current(held, membership)
        _require_right_over(rights, current.role)
        _end(held, actor, current, "member.removed")


def leave(membership: Membership, actor: audit.Actor) -> None:
    """What every member may do for oneself. Raises: NotPermitted for anybody else, LastOwner."""
    with changing(membership.org) as held:
        current = _current(held, membership)
        if actor.type != "user" or actor.id != str(current.user_id):
            raise NotPermitted(Permission.MANAGE_MEMBERS)
        _end(held, actor, current, "member.left")


def transfer_ownership(organization: Organization, actor: audit.Actor, to: Membership, typed_name: str) -> None:
    """The acting owner becomes an admin, the other member an owner.

    Args:
        typed_name: must be the organisation's name, as a safeguard.

    Raises:
        NotPermitted, InvalidField, OrganizationGone; Membership.DoesNotExist when `to` is gone meanwhile.
    """
    with changing(organization) as held:
        rights = require(held, actor, Permission.MANAGE_OWNERS)
        if rights.user_id is None:
            raise NotPermitted(Permission.MANAGE_OWNERS)
        if to.user_id == rights.user_id:
            raise InvalidField.one("to", _("Choose another member."))
        fields.require_typed_name(typed_name, held.name)
        heir = _current(held, to)
        if heir.role != OWNER:
            _change_role(held, actor, heir, OWNER)
        _change_role(held, actor, Membership.objects.get_of(held, user_id=rights.user_id), ADMIN)


def add_member(
    organization: Organization, actor: audit.Actor, user_id: int, role: str, *, invited_by: str
) -> Membership:
    """Part of accepting an invitation, inside its transaction; somebody who is a member already stays as is."""
    membership, is_new = Membership.objects.get_or_create(org=organization, user_id=user_id, defaults={"role": role})
    if is_new:
        _record(organization, actor, "member.joined", membership, None, {"role": role, "invited_by": invited_by})
    return membership


def _change_role(organization: Organization, actor: audit.Actor, membership: Membership, role: str) -> None:
    before = membership.role
    if before == OWNER:
        _require_another_owner(organization, membership)
    membership.role = role
    membership.save(update_fields=["role"])
    _record(organization, actor, "member.role_changed", membership, {"role": before}, {"role": role})
    keys.revoke_beyond(organization, actor, membership.user_id, before, role)


def _end(organization: Organization, actor: audit.Actor, membership: Membership, action: str) -> None:
    if membership.role == OWNER:
        _require_another_owner(organization, membership)
    keys.revoke_beyond(organization, actor, membership.user_id, membership.role, "")
    _record(organization, actor, action, membership, {"role": membership.role}, None)
    membership.delete()


def _require_right_over(rights: Authority, *touched_roles: str) -> None:
    if OWNER in touched_roles:
        rights.require(Permission.MANAGE_OWNERS)


def _require_another_owner(organization: Organization, membership: Membership) -> None:
    owners = Membership.objects.of(organization).filter(role=OWNER, user__is_active=True)
    if not owners.exclude(pk=membership.pk).exists():
        raise LastOwner


def _current(organization: Organization, membership: Membership) -> Membership:
    return Membership.objects.of(organization).select_related("user").get(pk=membership.pk)


def _record(
    organization: Organization,
    actor: audit.Actor,
    action: str,
    membership: Membership,
    before: dict[str, str] | None,
    after: dict[str, str] | None,
) -> None:
    audit.record(
        organization,
        actor,
        action,
        "member",
        str(membership.user_id),
        label=membership.user.email,
        before=before,
        after=after,
    )
