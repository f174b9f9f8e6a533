import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts import keys, members, roles
from accounts.audit import Actor
from accounts.errors import InvalidField, LastOwner, NotPermitted
from accounts.models import ApiKey, AuditEvent, Membership, User


@pytest.fixture
def of(acme):
    def of(user: User) -> Membership:
        return Membership.objects.get_of(acme, user=user)

    return of


@pytest.fixture
def dave(acme, make_user, join) -> User:
    dave = make_user("dave@acme.test")
    join(acme, dave, roles.ADMIN)
    return dave


@pytest.fixture
def as_dave(dave) -> Actor:
    return Actor.of_user(dave)


def actions(organization):
    return list(AuditEvent.objects.of(organization).order_by("sequence").values_list("action", flat=True))


def test_members_in_the_order_they_came(acme, bob, carol):
    emails = [member.user.email for member in members.members_of(acme)]
    assert emails == ["alice@acme.test", "bob@acme.test", "carol@acme.test"]


def test_a_role_changes(acme, of, bob, as_alice):
    members.change_role(of(bob), as_alice, roles.BILLING)
    assert of(bob).role == roles.BILLING
    event = AuditEvent.objects.of(acme).get(action="member.role_changed")
    assert (event.object_label, event.before, event.after) == (
        bob.email,
        {"role": "developer"},
        {"role": "billing"},
    )


def test_an_unknown_role_is_refused(of, bob, as_alice):
    with pytest.raises(InvalidField) as refusal:
        members.change_role(of(bob), as_alice, "root")
    assert refusal.value.param == "role"


def test_the_same_role_is_not_audited(acme, of, bob, as_alice):
    members.change_role(of(bob), as_alice, roles.DEVELOPER)
    assert "member.role_changed" not in actions(acme)


class TestAnAdmin:
    def test_changes_and_removes_others(self, of, bob, carol, as_dave):
        members.change_role(of(bob), as_dave, roles.ADMIN)
        members.remove_member(of(carol), as_dave)
        assert of(bob).role == roles.ADMIN
        with pytest.raises(Membership.DoesNotExist):
            of(carol)

    def test_does_not_touch_an_owner(self, of, alice, as_dave):
        for attempt in (
            lambda: members.change_role(of(alice), as_dave, roles.VIEWER),
            lambda: members.remove_member(of(alice), as_dave),
        ):
            with pytest.raises(NotPermitted):
                attempt()
        assert of(alice).role == roles.OWNER

    def test_makes_no_owner_not_even_of_oneself(self, of, bob, dave, as_dave):
        for user in (bob, dave):
            with pytest.raises(NotPermitted):
                members.change_role(of(user), as_dave, roles.OWNER)

    def test_hands_nothing_over(self, acme, of, bob, as_dave):
        with pytest.raises(NotPermitted):
            members.transfer_ownership(acme, as_dave, of(bob), "Acme")


class TestTheLastOwner:
    def test_is_not_demoted_removed_and_does_not_leave(self, of, alice, as_alice):
        for attempt in (
            lambda: members.change_role(of(alice), as_alice, roles.ADMIN),
            lambda: members.remove_member(of(alice), as_alice),
            lambda: members.leave(of(alice), as_alice),
        ):
            with pytest.raises(LastOwner):
                attempt()
        assert of(alice).role == roles.OWNER

    def test_goes_once_there_is_another(self, acme, of, alice, bob, as_alice):
        members.change_role(of(bob), as_alice, roles.OWNER)
        members.leave(of(alice), as_alice)
        assert actions(acme)[-2:] == ["member.role_changed", "member.left"]

    def test_an_owner_who_cannot_sign_in_does_not_count(self, of, alice, bob, as_alice):
        members.change_role(of(bob), as_alice, roles.OWNER)
        User.objects.filter(pk=bob.pk).update(is_active=False)
        with pytest.raises(LastOwner):
            members.leave(of(alice), as_alice)


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_demote_each_other_leave_one(acme, of, alice, bob, as_alice, as_bob):
    members.change_role(of(bob), as_alice, roles.OWNER)
    start, outcomes = threading.Barrier(2), []

    def demote(membership: Membership, actor: Actor) -> None:
        start.wait()
        try:
            members.change_role(membership, actor, roles.VIEWER)
            outcomes.append("demoted")
        except (LastOwner, NotPermitted) as refusal:
            outcomes.append(type(refusal).__name__)
        finally:
            connection.close()

    pairs = [(of(bob), as_alice), (of(alice), as_bob)]
    threads = [threading.Thread(target=demote, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["NotPermitted", "demoted"]
    assert Membership.objects.of(acme).filter(role=roles.OWNER).count() == 1


class TestHandingOver:
    def test_the_heir_owns_and_the_giver_administers(self, acme, of, alice, bob, as_alice):
        members.transfer_ownership(acme, as_alice, of(bob), "Acme")
        assert (of(bob).role, of(alice).role) == (roles.OWNER, roles.ADMIN)

    def test_both_changes_are_in_the_audit_log(self, acme, of, alice, bob, as_alice):
        members.transfer_ownership(acme, as_alice, of(bob), "Acme")
        events = AuditEvent.objects.of(acme).filter(action="member.role_changed").order_by("sequence")
        assert [(event.object_label, event.before, event.after) for event in events] == [
            (bob.email, {"role": roles.DEVELOPER}, {"role": roles.OWNER}),
            (alice.email, {"role": roles.OWNER}, {"role": roles.ADMIN}),
        ]

    @pytest.mark.parametrize("typed", ["", "acme", "Acme Inc"])
    def test_not_without_the_name(self, acme, of, alice, bob, as_alice, typed):
        with pytest.raises(InvalidField) as refused:
            members.transfer_ownership(acme, as_alice, of(bob), typed)
        assert refused.value.fields.keys() == {"typed_name"}
        assert (of(bob).role, of(alice).role) == (roles.DEVELOPER, roles.OWNER)

    def test_not_to_somebody_who_cannot_sign_in(self, acme, of, alice, bob, as_alice):
        User.objects.filter(pk=bob.pk).update(is_active=False)
        with pytest.raises(LastOwner):
            members.transfer_ownership(acme, as_alice, of(bob), "Acme")
        assert (of(bob).role, of(alice).role) == (roles.DEVELOPER, roles.OWNER)

    def test_not_to_oneself(self, acme, of, alice, as_alice):
        with pytest.raises(InvalidField):
            members.transfer_ownership(acme, as_alice, of(alice), "Acme")

    def test_not_to_a_member_of_another_organization(self, acme, rival, mallory, as_alice):
        stranger = Membership.objects.get_of(rival, user=mallory)
        with pytest.raises(Membership.DoesNotExist):
            members.transfer_ownership(acme, as_alice, stranger, "Acme")

    def test_only_a_person_hands_over(self, acme, of, bob):
        with pytest.raises(NotPermitted):
            members.transfer_ownership(acme, Actor.system(), of(bob), "Acme")


class TestLeaving:
    def test_everybody_may(self, acme, of, carol, as_carol):
        members.leave(of(carol), as_carol)
        assert actions(acme)[-1] == "member.left"

    def test_but_nobody_makes_another_leave(self, of, carol, as_alice, as_bob):
        for actor in (as_alice, as_bob, Actor.system()):
            with pytest.raises(NotPermitted):
                members.leave(of(carol), actor)


class TestKeysOfWhoGoes:
    @staticmethod
    def key(acme, user, actor, *, scopes=("inference",), **more) -> ApiKey:
        return keys.create_key(acme, actor, name="k", scopes=scopes, created_by=user, **more).key

    @staticmethod
    def status(key: ApiKey) -> str:
        return ApiKey.objects.get(pk=key.pk).status(timezone.now())

    def test_end_with_the_membership(self, acme, of, bob, as_bob, as_alice):
        his, hers = self.key(acme, bob, as_bob), self.key(acme, None, as_alice)
        members.remove_member(of(bob), as_alice)
        assert (self.status(his), self.status(hers)) == ("revoked", "active")
        assert actions(acme)[-2:] == ["api_key.revoked", "member.removed"]

    def test_end_on_leaving(self, acme, of, bob, as_bob):
        key = self.key(acme, bob, as_bob)
        members.leave(of(bob), as_bob)
        assert self.status(key) == "revoked"

    def test_that_manage_end_with_the_admins_role(self, acme, of, dave, as_dave, as_alice):
        managing = self.key(acme, dave, as_dave, scopes=["manage"])
        calling = self.key(acme, dave, as_dave)
        members.change_role(of(dave), as_alice, roles.DEVELOPER)
        assert (self.status(managing), self.status(calling)) == ("revoked", "active")

    def test_that_call_end_with_the_developers_role(self, acme, of, bob, as_bob, as_alice):
        key = self.key(acme, bob, as_bob)
        members.change_role(of(bob), as_alice, roles.VIEWER)
        assert self.status(key) == "revoked"

    def test_given_by_an_admin_stay_where_no_right_is_lost(self, acme, of, carol, as_alice):
        given = self.key(acme, carol, as_alice)
        members.change_role(of(carol), as_alice, roles.AUDITOR)
        assert self.status(given) == "active"

    def test_of_the_playground_follow_the_right_to_it(self, acme, of, bob, as_bob, as_alice):
        key = self.key(acme, bob, as_bob, is_ephemeral=True, expires_at=timezone.now() + timedelta(hours=1))
        members.change_role(of(bob), as_alice, roles.PROVIDER)
        assert self.status(key) == "active"
        members.change_role(of(bob), as_alice, roles.BILLING)
        assert self.status(key) == "revoked"


def test_a_stranger_changes_nobody(of, bob, rival, as_mallory):
    for attempt in (
        lambda: members.change_role(of(bob), as_mallory, roles.VIEWER),
        lambda: members.remove_member(of(bob), as_mallory),
        lambda: members.leave(of(bob), as_mallory),
    ):
        with pytest.raises(NotPermitted):
            attempt()


def test_who_cannot_sign_in_does_not_act(of, alice, bob, as_alice):
    User.objects.filter(pk=alice.pk).update(is_active=False)
    with pytest.raises(NotPermitted):
        members.change_role(of(bob), as_alice, roles.VIEWER)
