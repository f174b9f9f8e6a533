"""Every role against every use case: what the grants say is what the services do."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import invitations, keys, members, organizations, roles
from accounts.audit import Actor
from accounts.errors import NotPermitted
from accounts.models import Membership
from accounts.roles import Permission as P

INFERENCE = {"name": "k", "scopes": ["inference"]}


def an_hour():
    return timezone.now() + timedelta(hours=1)


class Case:
    """The organisation in which `user` has the role under test, with things of others to act on."""

    def __init__(self, acme, user, alice, carol, actor, as_alice):
        self.acme, self.user, self.alice, self.carol, self.actor = acme, user, alice, carol, actor
        self.key = keys.create_key(acme, as_alice, **INFERENCE, created_by=alice).key
        self.own_key = keys.create_key(acme, as_alice, **INFERENCE, created_by=user).key
        self.invitation = invitations.invite(acme, as_alice, email="erin@acme.test", role=roles.VIEWER)

    def membership(self, user):
        return Membership.objects.get_of(self.acme, user=user)


USE_CASES = {
    "create a key of the organisation": (
        P.MANAGE_KEYS,
        lambda c: keys.create_key(c.acme, c.actor, **INFERENCE, created_by=None),
    ),
    "create an own managing key": (
        P.MANAGE_KEYS,
        lambda c: keys.create_key(c.acme, c.actor, name="m", scopes=["manage"], created_by=c.user),
    ),
    "create an own key": (
        P.MANAGE_OWN_KEYS,
        lambda c: keys.create_key(c.acme, c.actor, **INFERENCE, created_by=c.user),
    ),
    "create a key for the Playground": (
        P.USE_PLAYGROUND,
        lambda c: keys.create_key(
            c.acme, c.actor, **INFERENCE, created_by=c.user, expires_at=an_hour(), is_ephemeral=True
        ),
    ),
    "update a key": (P.MANAGE_KEYS, lambda c: keys.update_key(c.key, c.actor, name="n")),
    "update an own key": (P.MANAGE_OWN_KEYS, lambda c: keys.update_key(c.own_key, c.actor, name="n")),
    "rotate a key": (P.MANAGE_KEYS, lambda c: keys.rotate_key(c.key, c.actor)),
    "rotate an own key": (P.MANAGE_OWN_KEYS, lambda c: keys.rotate_key(c.own_key, c.actor)),
    "revoke a key": (P.MANAGE_KEYS, lambda c: keys.revoke_key(c.key, c.actor)),
    "revoke an own key": (None, lambda c: keys.revoke_key(c.own_key, c.actor)),
    "invite": (
        P.MANAGE_MEMBERS,
        lambda c: invitations.invite(c.acme, c.actor, email="f@acme.test", role=roles.VIEWER),
    ),
    "invite an owner": (
        P.MANAGE_OWNERS,
        lambda c: invitations.invite(c.acme, c.actor, email="f@acme.test", role=roles.OWNER),
    ),
    "withdraw an invitation": (
        P.MANAGE_MEMBERS,
        lambda c: invitations.revoke_invitation(c.invitation, c.actor),
    ),
    "change a role": (
        P.MANAGE_MEMBERS,
        lambda c: members.change_role(c.membership(c.carol), c.actor, roles.AUDITOR),
    ),
    "make an owner": (
        P.MANAGE_OWNERS,
        lambda c: members.change_role(c.membership(c.carol), c.actor, roles.OWNER),
    ),
    "remove a member": (P.MANAGE_MEMBERS, lambda c: members.remove_member(c.membership(c.carol), c.actor)),
    "remove an owner": (P.MANAGE_OWNERS, lambda c: members.remove_member(c.membership(c.alice), c.actor)),
    "hand over": (
        P.MANAGE_OWNERS,
        lambda c: members.transfer_ownership(c.acme, c.actor, c.membership(c.carol), "Acme"),
    ),
    "leave": (None, lambda c: members.leave(c.membership(c.user), c.actor)),
    "change settings": (
        P.MANAGE_ORGANIZATION,
        lambda c: organizations.update_organization(c.acme, c.actor, name="New"),
    ),
    "delete": (
        P.DELETE_ORGANIZATION,
        lambda c: organizations.delete_organization(c.acme, c.actor, "Acme"),
    ),
}


@pytest.mark.parametrize("use_case", USE_CASES)
@pytest.mark.parametrize("role", roles.ROLES)
def test_the_grants_are_what_the_services_check(acme, alice, carol, as_alice, make_user, join, role, use_case):
    user = make_user("user@acme.test")
    join(acme, user, role)
    case = Case(acme, user, alice, carol, Actor.of_user(user), as_alice)
    permission, act = USE_CASES[use_case]
    if permission is None or roles.allows(role, permission):
        act(case)
    else:
        with pytest.raises(NotPermitted):
            act(case)


def test_every_role_has_its_name_sentence_and_grants():
    assert roles.ROLES.keys() == roles.ROLE_NAMES.keys() == roles.GRANTS.keys()


def test_an_unknown_role_may_nothing():
    assert not any(roles.allows("ghost", permission) for permission in P)


def test_only_owners_own():
    holders = {role for role, grants in roles.GRANTS.items() if P.MANAGE_OWNERS in grants}
    assert holders == {role for role, grants in roles.GRANTS.items() if P.DELETE_ORGANIZATION in grants} == {"owner"}


def test_who_only_looks_changes_nothing():
    changing = {permission for permission in P if permission.startswith(("manage", "delete"))}
    assert not changing & (roles.GRANTS[roles.VIEWER] | roles.GRANTS[roles.AUDITOR])
