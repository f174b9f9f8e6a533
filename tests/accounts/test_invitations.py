import re
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.utils import timezone

from accounts import invitations, members, roles
from accounts.audit import Actor
from accounts.errors import InvalidField, InvitationClosed, InvitationForAnother, NotPermitted
from accounts.models import AuditEvent, Invitation, Membership
from accounts.organizations import delete_organization
from common.errors import NotFound

pytestmark = pytest.mark.usefixtures("noon")


@pytest.fixture
def send(acme, as_alice, django_capture_on_commit_callbacks):
    """Invites, and returns the invitation with the token that the e-mail carries."""

    def send(email="erin@acme.test", role=roles.DEVELOPER, actor=as_alice):
        with django_capture_on_commit_callbacks(execute=True):
            invitation = invitations.invite(acme, actor, email=email, role=role)
        return invitation, token_of_last_mail()

    return send


@pytest.fixture
def erin(make_user):
    return make_user("erin@acme.test", name="Erin")


def token_of_last_mail() -> str:
    return re.search(r"/invitations/([\w-]+)/", mail.outbox[-1].body)[1]


def accept(token, user):
    return invitations.accept(invitations.get_by_token(token), user, Actor.of_user(user))


def test_the_mail_has_the_link_and_says_who_and_what(send, settings):
    send(email=" Erin@ACME.test ")
    message = mail.outbox[-1]
    assert message.to == ["erin@acme.test"]
    assert message.subject == "alice@acme.test invites you to Acme on ShareAI"
    assert f"{settings.PUBLIC_URL}/invitations/" in message.body
    assert "as: Developer." in message.body
    assert "ends in 7 days" in message.body


def test_names_in_the_mail_are_not_escaped(acme, as_alice, send):
    type(acme).objects.update(name="R&D <Acme>")
    send()
    assert "R&D <Acme>" in mail.outbox[-1].subject


def test_the_token_is_stored_nowhere(send):
    invitation, token = send()
    event = AuditEvent.objects.of(invitation.org).last()
    assert token not in f"{vars(invitation)} {vars(event)}"
    assert bytes(Invitation.objects.get(pk=invitation.pk).token_hash) != token.encode()


def test_accepting_makes_a_member(acme, send, erin):
    invitation, token = send()
    membership = accept(token, erin)
    assert (membership.org, membership.role) == (acme, roles.DEVELOPER)
    invitation.refresh_from_db()
    assert invitation.accepted_at == timezone.now()
    event = AuditEvent.objects.of(acme).last()
    assert (event.action, event.actor_label, event.after) == (
        "member.joined",
        erin.email,
        {"role": "developer", "invited_by": "alice@acme.test"},
    )


def test_it_is_accepted_once(send, erin):
    _, token = send()
    accept(token, erin)
    with pytest.raises(InvitationClosed) as refusal:
        accept(token, erin)
    assert refusal.value.reason == "accepted"


def test_another_person_does_not_accept_it(acme, send, mallory):
    _, token = send()
    with pytest.raises(InvitationForAnother) as refusal:
        accept(token, mallory)
    assert "erin" not in str(refusal.value.body())
    assert not Membership.objects.of(acme).filter(user=mallory).exists()


def test_a_further_address_counts_when_it_is_verified(send, mallory):
    address = EmailAddress.objects.create(user=mallory, email="Erin@acme.test", verified=False)
    _, token = send()
    with pytest.raises(InvitationForAnother):
        accept(token, mallory)
    address.verified = True
    address.save()
    assert accept(token, mallory).user == mallory


def test_it_expires(send, erin, noon):
    _, token = send()
    noon.shift(timedelta(days=7))
    with pytest.raises(InvitationClosed) as refusal:
        accept(token, erin)
    assert refusal.value.reason == "expired"


def test_a_withdrawn_one_is_closed(send, erin, as_alice):
    invitation, token = send()
    invitations.revoke_invitation(invitation, as_alice)
    invitations.revoke_invitation(invitation, as_alice)
    with pytest.raises(InvitationClosed) as refusal:
        accept(token, erin)
    assert refusal.value.reason == "revoked"
    assert AuditEvent.objects.of(invitation.org).filter(action="invitation.revoked").count() == 1


def test_it_is_withdrawn_between_opening_and_accepting(send, erin, as_alice):
    invitation, token = send()
    opened = invitations.get_by_token(token)
    invitations.revoke_invitation(invitation, as_alice)
    with pytest.raises(InvitationClosed):
        invitations.accept(opened, erin, Actor.of_user(erin))


def test_an_accepted_one_is_neither_withdrawn_nor_sent_again(send, erin, as_alice):
    invitation, token = send()
    accept(token, erin)
    for attempt in (invitations.revoke_invitation, invitations.resend_invitation):
        with pytest.raises(InvitationClosed):
            attempt(invitation, as_alice)


def test_sending_again_replaces_the_link_and_renews_the_week(
    send, erin, as_alice, noon, django_capture_on_commit_callbacks
):
    invitation, first = send()
    noon.shift(timedelta(days=8))
    with django_capture_on_commit_callbacks(execute=True):
        invitations.resend_invitation(invitation, as_alice)
    second = token_of_last_mail()
    with pytest.raises(NotFound):
        invitations.get_by_token(first)
    assert accept(second, erin)


def test_not_again_within_a_minute(send, as_alice, noon):
    invitation, _ = send()
    noon.shift(59)
    with pytest.raises(InvalidField):
        invitations.resend_invitation(invitation, as_alice)
    noon.shift(1)
    invitations.resend_invitation(invitation, as_alice)


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 500, "\x00"])
def test_no_such_link(db, token):
    with pytest.raises(NotFound):
        invitations.get_by_token(token)


def test_a_link_into_a_deleted_organization(acme, send, as_alice):
    _, token = send()
    delete_organization(acme, as_alice, "Acme")
    with pytest.raises(NotFound):
        invitations.get_by_token(token)


@pytest.mark.parametrize(
    ("email", "role", "field"),
    [
        ("nobody", roles.VIEWER, "email"),
        ("x@acme.test\nBcc: all@acme.test", roles.VIEWER, "email"),
        ("bob@acme.test", roles.VIEWER, "email"),
        ("BOB@acme.test", roles.VIEWER, "email"),
        ("new@acme.test", "root", "role"),
    ],
)
def test_a_bad_invitation_is_refused_beside_its_field(acme, as_alice, bob, email, role, field):
    with pytest.raises(InvalidField) as refusal:
        invitations.invite(acme, as_alice, email=email, role=role)
    assert refusal.value.param == field


def test_one_open_invitation_per_address(acme, send, as_alice, noon):
    send()
    with pytest.raises(InvalidField) as refusal:
        send()
    assert refusal.value.param == "email"
    noon.shift(timedelta(days=8))
    send()
    assert invitations.open_invitations(acme).count() == 1


def test_there_is_an_end_to_open_invitations(acme, send, monkeypatch):
    monkeypatch.setattr(invitations, "MOST_OPEN", 1)
    send()
    with pytest.raises(InvalidField):
        send(email="frank@acme.test")


class TestAnAdmin:
    @pytest.fixture
    def as_dave(self, acme, make_user, join) -> Actor:
        dave = make_user("dave@acme.test")
        join(acme, dave, roles.ADMIN)
        return Actor.of_user(dave)

    def test_invites_admins(self, send, as_dave, erin):
        _, token = send(role=roles.ADMIN, actor=as_dave)
        assert accept(token, erin).role == roles.ADMIN

    def test_invites_no_owner_and_does_not_touch_such_an_invitation(self, send, as_dave):
        with pytest.raises(NotPermitted):
            send(role=roles.OWNER, actor=as_dave)
        invitation, _ = send(role=roles.OWNER)
        for attempt in (invitations.revoke_invitation, invitations.resend_invitation):
            with pytest.raises(NotPermitted):
                attempt(invitation, as_dave)


def test_a_member_stays_what_they_are(acme, send, erin, join):
    _, token = send(role=roles.VIEWER)
    join(acme, erin, roles.ADMIN)
    assert accept(token, erin).role == roles.ADMIN


def test_a_mail_server_that_is_away_leaves_the_invitation(
    acme, as_alice, settings, django_capture_on_commit_callbacks
):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    with django_capture_on_commit_callbacks(execute=True):
        invitations.invite(acme, as_alice, email="erin@acme.test", role=roles.VIEWER)
    assert invitations.open_invitations(acme).get().email == "erin@acme.test"


def test_whoever_was_invited_and_removed_can_be_invited_again(acme, send, erin, as_alice):
    _, token = send()
    members.remove_member(accept(token, erin), as_alice)
    _, token = send()
    assert accept(token, erin)
