import re

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from accounts import current, invitations, roles
from accounts.models import Invitation, Membership, Organization, User
from tests.accounts.mails import code_of_last_mail
from tests.conftest import PASSWORD

SIGNUP, CONFIRM = "/accounts/signup/", "/accounts/confirm-email/"


@pytest.fixture
def browser(db) -> Client:
    return Client()


def sign_up(browser, email="erin@new.test", **extra):
    return browser.post(SIGNUP, {"email": email, "password1": PASSWORD}, **extra)


def signed_in_user(browser) -> str | None:
    return browser.session.get("_auth_user_id")


def test_a_new_user_finds_an_own_organization(browser):
    sign_up(browser)
    membership = Membership.objects.get(user__email="erin@new.test")
    assert (membership.role, membership.org.name) == (roles.OWNER, "erin's organisation")


def test_the_address_is_proven_by_a_code_before_the_first_sign_in(browser):
    assert sign_up(browser).url == CONFIRM
    assert signed_in_user(browser) is None
    assert browser.post(CONFIRM, {"code": "WRONG1"}).status_code == 200
    assert signed_in_user(browser) is None
    assert browser.post(CONFIRM, {"code": code_of_last_mail()}).url == "/"
    assert signed_in_user(browser) == str(User.objects.get(email="erin@new.test").pk)
    assert EmailAddress.objects.get(email="erin@new.test").verified


def test_in_the_demo_it_may_wait(browser, settings):
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    assert sign_up(browser).url == "/"
    assert signed_in_user(browser)


@pytest.mark.parametrize("password", ["short", "password123", "erin@new.test"])
def test_a_weak_password_is_refused_beside_its_field(browser, password):
    response = browser.post(SIGNUP, {"email": "erin@new.test", "password1": password})
    assert response.context["form"].errors.keys() == {"password1"}
    assert not User.objects.exists()


def test_a_taken_address_is_not_given_away(browser, alice):
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    assert sign_up(browser, alice.email.upper()).url == sign_up(Client(), "free@new.test").url
    assert User.objects.filter(email__iexact=alice.email).count() == 1


def test_the_language_of_the_page_becomes_the_users(browser):
    sign_up(browser, HTTP_ACCEPT_LANGUAGE="th")
    assert User.objects.get().language == "th"


def test_the_language_comes_back_with_the_user(browser, settings):
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    sign_up(browser, HTTP_ACCEPT_LANGUAGE="th")
    elsewhere = Client()
    response = elsewhere.post("/accounts/login/", {"login": "erin@new.test", "password": PASSWORD})
    assert response.cookies["django_language"].value == "th"


@pytest.mark.parametrize("target", ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)"])
def test_nobody_is_led_out_of_the_house(browser, settings, target):
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    response = browser.post(SIGNUP, {"email": "erin@new.test", "password1": PASSWORD, "next": target})
    assert response.url == "/"


def test_a_page_of_the_house_is_led_to(browser, settings):
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    response = browser.post(SIGNUP, {"email": "erin@new.test", "password1": PASSWORD, "next": "/keys/?new=1"})
    assert response.url == "/keys/?new=1"


def test_trusting_an_origin_for_forms_does_not_make_it_a_place_to_be_led_to(browser, settings):
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    settings.CSRF_TRUSTED_ORIGINS = ["https://forms.test"]
    response = browser.post(SIGNUP, {"email": "erin@new.test", "password1": PASSWORD, "next": "https://forms.test/"})
    assert response.url == "/"


class TestByAnInvitation:
    @pytest.fixture
    def invited(self, acme, as_alice, browser, rf, django_capture_on_commit_callbacks) -> Invitation:
        """erin opened the link that was sent to her."""
        with django_capture_on_commit_callbacks(execute=True):
            invitations.invite(acme, as_alice, email="erin@new.test", role=roles.DEVELOPER)
        token = re.search(r"/invitations/([\w-]+)/", mail.outbox[-1].body)[1]
        opened = invitations.get_by_token(token)
        session, request = browser.session, rf.get("/")
        request.session = session
        invitations.remember(request, opened)
        session.save()
        return opened

    def test_she_is_a_member_of_it_and_of_nothing_else(self, acme, browser, invited):
        assert sign_up(browser, "Erin@new.test").url == "/"
        membership = Membership.objects.get(user__email="erin@new.test")
        assert (membership.org, membership.role) == (acme, roles.DEVELOPER)
        assert Organization.objects.count() == 1

    def test_her_address_needs_no_further_proof(self, browser, invited):
        sign_up(browser)
        assert EmailAddress.objects.get(email="erin@new.test").verified
        assert signed_in_user(browser)

    def test_it_is_used_up(self, browser, invited):
        sign_up(browser)
        invited.refresh_from_db()
        assert invited.accepted_at
        assert "invitation" not in browser.session

    def test_with_another_address_she_gets_an_own_organization(self, acme, browser, invited):
        assert sign_up(browser, "other@new.test").url == CONFIRM
        membership = Membership.objects.get(user__email="other@new.test")
        assert membership.org != acme
        assert not EmailAddress.objects.get(email="other@new.test").verified

    def test_withdrawn_meanwhile_she_gets_an_own_organization(self, acme, browser, invited, as_alice):
        invitations.revoke_invitation(invited, as_alice)
        assert sign_up(browser).url == CONFIRM
        assert Membership.objects.get(user__email="erin@new.test").org != acme

    def test_whoever_signs_in_instead_is_led_back_to_it(self, browser, invited, make_user):
        erin = make_user("erin@new.test", password=PASSWORD)
        EmailAddress.objects.create(user=erin, email=erin.email, verified=True, primary=True)
        response = browser.post("/accounts/login/", {"login": erin.email, "password": PASSWORD})
        assert response.url == invitations.REMEMBERED_PATH


def test_signing_up_counts_as_recent_proof(browser, rf, settings):
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    sign_up(browser)
    request = rf.get("/")
    request.session, request.user = browser.session, User.objects.get()
    assert current.recently_authenticated(request)
