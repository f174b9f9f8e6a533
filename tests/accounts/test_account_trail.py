"""What people do with their own accounts is in the trail of each of their organisations, and of no other."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers import registry
from allauth.socialaccount.providers.github.provider import GitHubProvider
from django.core import mail
from django.test import Client

from accounts import audit, roles
from accounts.models import AuditEvent, Organization, User
from accounts.organizations import create_organization, delete_organization
from tests.accounts.mails import code_of_last_mail
from tests.accounts.test_second_factor import ACTIVATE_TOTP, ADD_PASSKEY, AUTHENTICATE, RECOVERY, totp
from tests.conftest import PASSWORD
from tests.fakes.passkey import Passkey

LOGIN, EMAIL, AGAIN = "/accounts/login/", "/accounts/email/", "/accounts/reauthenticate/"
NEW_PASSWORD = "a wholly new one"
TWICE = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}

pytestmark = pytest.mark.usefixtures("noon")


@pytest.fixture(autouse=True)
def member(acme, erin, join) -> User:
    join(acme, erin, roles.DEVELOPER)
    return erin


@pytest.fixture
def browser() -> Client:
    """erin, signed in."""
    browser = Client(HTTP_USER_AGENT="Laptop", REMOTE_ADDR="192.0.2.7")
    browser.post(LOGIN, {"login": "erin@acme.test", "password": PASSWORD})
    browser.post(AGAIN, {"password": PASSWORD})
    return browser


@pytest.fixture
def said(acme, browser):
    """(action, before, after) of what was done since the sign-in."""
    seen = AuditEvent.objects.of(acme).count()

    def said() -> list[tuple[str, Any, Any]]:
        found = AuditEvent.objects.of(acme).filter(sequence__gt=seen).order_by("sequence")
        return [(event.action, event.before, event.after) for event in found]

    return said


@pytest.fixture
def at_once(monkeypatch) -> None:
    """What waits for a commit is done within its request, as where requests are not inside a test's transaction."""
    monkeypatch.setattr("django.db.transaction.on_commit", lambda do, *_more, **_named: do())


@pytest.fixture
def app_secret(browser, at_once) -> str:
    secret = browser.get(ACTIVATE_TOTP).context["form"].secret
    browser.post(ACTIVATE_TOTP, {"code": totp(secret)})
    return secret


def test_a_sign_in_is_one_event_in_each_organisation_with_address_and_agent(acme, erin, as_alice, alice):
    own, gone = create_organization(erin, "Own"), create_organization(erin, "Gone")
    rival = create_organization(alice, "Rival")
    delete_organization(gone, audit.Actor.of_user(erin), "Gone")
    before = {each: AuditEvent.objects.of(each).count() for each in (acme, own, gone, rival)}
    Client(HTTP_USER_AGENT="Laptop", REMOTE_ADDR="192.0.2.7").post(LOGIN, {"login": erin.email, "password": PASSWORD})
    assert [AuditEvent.objects.of(each).count() - before[each] for each in before] == [1, 1, 0, 0]
    for organization in (acme, own):
        event = AuditEvent.objects.of(organization).latest("sequence")
        assert (event.action, event.object_label, event.after) == (
            "sign_in.succeeded",
            erin.email,
            {"by": ["password"]},
        )
        assert (event.actor_type, event.actor_id, event.ip, event.user_agent) == (
            "user",
            str(erin.pk),
            "192.0.2.7",
            "Laptop",
        )
        assert audit.verify(organization).ok


def test_a_wrong_password_is_a_visitors(acme, erin):
    Client(REMOTE_ADDR="192.0.2.8").post(LOGIN, {"login": erin.email, "password": "wrong"})
    event = AuditEvent.objects.of(acme).latest("sequence")
    assert (event.action, event.object_label, event.after) == ("sign_in.failed", erin.email, {"by": ["password"]})
    assert (event.actor_type, event.actor_id, event.ip) == ("visitor", "", "192.0.2.8")
    seen = AuditEvent.objects.count()
    Client().post(LOGIN, {"login": "nobody@acme.test", "password": "wrong"})
    assert AuditEvent.objects.count() == seen


def test_a_wrong_code_by_mail_and_the_right_one(acme, erin):
    browser, seen = Client(), AuditEvent.objects.of(acme).count()
    browser.post("/accounts/login/code/", {"email": erin.email})
    for code in ("WRONG1", code_of_last_mail()):
        browser.post("/accounts/login/code/confirm/", {"code": code})
    events = AuditEvent.objects.of(acme).filter(sequence__gt=seen).order_by("sequence")
    assert [(event.action, event.after) for event in events] == [
        ("sign_in.failed", {"by": ["code"]}),
        ("sign_in.succeeded", {"by": ["code"]}),
    ]


def test_signing_out_and_ending_other_sessions(browser, said, erin):
    Client().post(LOGIN, {"login": erin.email, "password": PASSWORD})
    browser.post("/accounts/sessions/")
    browser.post("/accounts/sessions/")
    browser.post("/accounts/logout/")
    assert said()[1:] == [("sessions.ended", {"sessions": 1}, None), ("sign_in.ended", None, None)]


def test_a_changed_password(browser, said):
    browser.post("/accounts/password/change/", {"oldpassword": PASSWORD, **TWICE})
    assert said() == [("password.changed", None, None)]


def test_a_first_password(acme, erin):
    erin.set_unusable_password()
    erin.save()
    browser = Client()
    browser.force_login(erin)
    browser.post("/accounts/password/set/", TWICE)
    assert AuditEvent.objects.of(acme).latest("sequence").action == "password.set"


def test_a_forgotten_password(acme, erin):
    browser = Client()
    browser.post("/accounts/password/reset/", {"email": erin.email})
    path = re.search(r"http://[^/]+(/accounts/password/reset/key/\S+)", mail.outbox[-1].body)[1]
    page = browser.get(path, follow=True)
    browser.post(page.redirect_chain[-1][0], TWICE)
    event = AuditEvent.objects.of(acme).latest("sequence")
    assert (event.action, event.actor_label) == ("password.reset", erin.email)


def test_addresses(browser, said, erin):
    new, old = {"email": "erin@new.test"}, {"email": erin.email}
    browser.post(EMAIL, {"action_add": "", **new})
    browser.post("/accounts/confirm-email/", {"code": code_of_last_mail()})
    browser.post(EMAIL, {"action_primary": "", **new})
    browser.post(EMAIL, {"action_remove": "", **old})
    assert said() == [
        ("email.added", None, new),
        ("email.confirmed", None, new),
        ("email.main_changed", old, new),
        ("email.removed", old, None),
    ]


def test_an_authenticator_app_and_its_recovery_codes(browser, said, app_secret, acme):
    codes = browser.get(RECOVERY).context["unused_codes"]
    browser.post("/accounts/2fa/recovery-codes/generate/")
    browser.post("/accounts/2fa/totp/deactivate/")
    assert [action for action, _before, _after in said()] == [
        "totp.added",
        "recovery_codes.generated",
        "recovery_codes.generated",
        "totp.removed",
        "recovery_codes.removed",
    ]
    stored = json.dumps([*AuditEvent.objects.of(acme).values("before", "after", "object_label")])
    assert not [secret for secret in [app_secret, *codes] if secret in stored]


def test_a_second_factor_at_the_door_wrong_and_right(browser, said, app_secret, erin, noon):
    noon.shift(60)
    elsewhere = Client()
    elsewhere.post(LOGIN, {"login": erin.email, "password": PASSWORD})
    for code in ("000000", totp(app_secret)):
        elsewhere.post(AUTHENTICATE, {"code": code})
    assert said()[-2:] == [
        ("sign_in.failed", None, {"by": ["totp"]}),
        ("sign_in.succeeded", None, {"by": ["password", "totp"]}),
    ]


def test_a_passkey_by_its_name(browser, said, at_once):
    options = browser.get(ADD_PASSKEY).context["js_data"]["creation_options"]
    credential = Passkey("http://testserver").register(json.loads(json.dumps(options)))
    browser.post(ADD_PASSKEY, {"name": "Phone", "passwordless": "on", "credential": json.dumps(credential)})
    passkey = Authenticator.objects.get(type=Authenticator.Type.WEBAUTHN)
    browser.post(f"/accounts/2fa/webauthn/keys/{passkey.pk}/remove/")
    assert said() == [
        ("passkey.added", None, {"name": "Phone"}),
        ("recovery_codes.generated", None, None),
        ("passkey.removed", {"name": "Phone"}, None),
        ("recovery_codes.removed", None, None),
    ]


def test_a_sign_in_by_others_linked_and_unlinked(browser, said, rf, erin, settings, monkeypatch):
    monkeypatch.setitem(registry.provider_map, "github", GitHubProvider)
    settings.SOCIALACCOUNT_PROVIDERS = {"github": {"APPS": [{"client_id": "id", "secret": "s"}]}}
    request = rf.get("/")
    request.session, request.user = browser.session, erin
    with context.request_context(request):
        SocialLogin(account=SocialAccount(provider="github", uid="4711")).connect(request, erin)
    account = SocialAccount.objects.get()
    browser.post("/accounts/3rdparty/", {"account": account.pk})
    assert said() == [
        ("sign_in_provider.linked", None, {"provider": "github"}),
        ("sign_in_provider.unlinked", {"provider": "github"}, None),
    ]


def test_the_api_does_not_tell_the_number_of_an_account(acme, alice, erin, browser):
    """Whoever reads the trail knows members by their public ids."""
    from console.api.audit import AuditEventShown

    event = AuditEvent.objects.of(acme).latest("sequence")
    shown = AuditEventShown(event, context={"members": {str(erin.pk): "mem_1"}}).data
    assert (shown["actor_id"], shown["object_id"]) == ("mem_1", "mem_1")


def test_who_is_nobodys_member_signs_in_all_the_same(make_user):
    frank = make_user("frank@else.test", password=PASSWORD)
    EmailAddress.objects.create(user=frank, email=frank.email, verified=True, primary=True)
    seen = AuditEvent.objects.count()
    assert Client().post(LOGIN, {"login": frank.email, "password": PASSWORD}).url == "/"
    assert AuditEvent.objects.count() == seen
    assert not Organization.objects.filter(memberships__user=frank).exists()
