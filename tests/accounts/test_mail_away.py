"""The mail server is away: what was asked for stands, the page says so, and asking again works."""

import pytest
from allauth.account.models import EmailAddress
from django.contrib.messages import get_messages
from django.test import Client

from accounts import invitations, roles
from accounts.models import Invitation, User
from tests.accounts.mails import code_of_last_mail
from tests.conftest import PASSWORD

SIGNUP, CONFIRM, LOGIN = "/accounts/signup/", "/accounts/confirm-email/", "/accounts/login/"
CODE, CONFIRM_CODE, RESET = "/accounts/login/code/", "/accounts/login/code/confirm/", "/accounts/password/reset/"
NOT_SENT = "The e-mail to erin@new.test could not be sent now"
MEMORY = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def browser(db) -> Client:
    return Client()


@pytest.fixture(autouse=True)
def _away(settings, unused_tcp_port):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", unused_tcp_port


def sign_up(browser):
    return browser.post(SIGNUP, {"email": "erin@new.test", "password1": PASSWORD})


def told(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_a_sign_up_goes_on_to_the_code_which_can_be_sent_again(browser, settings):
    response = sign_up(browser)
    assert response.url == CONFIRM
    [text] = told(response)
    assert text.startswith(NOT_SENT)
    settings.EMAIL_BACKEND = MEMORY
    browser.post(CONFIRM, {"action": "resend"})
    assert browser.post(CONFIRM, {"code": code_of_last_mail()}).url == "/"
    assert EmailAddress.objects.get(email="erin@new.test").verified


def test_an_address_that_has_an_account_is_told_the_same(browser, make_user):
    stranger = sign_up(browser)
    User.objects.filter(email="erin@new.test").delete()
    make_user("erin@new.test")
    known = sign_up(Client())
    assert (known.status_code, known.url, told(known)) == (stranger.status_code, stranger.url, told(stranger))


@pytest.mark.parametrize("is_known", [True, False])
def test_a_sign_in_by_code_waits_for_it_likewise(browser, make_user, is_known):
    if is_known:
        make_user("erin@new.test")
    response = browser.post(CODE, {"email": "erin@new.test"})
    assert response.url == CONFIRM_CODE
    [text] = told(response)
    assert text.startswith(NOT_SENT)
    assert NOT_SENT in browser.get(CONFIRM_CODE).content.decode()


@pytest.mark.parametrize("is_known", [True, False])
def test_a_password_reset_comes_back_to_its_form(browser, make_user, is_known):
    if is_known:
        make_user("erin@new.test")
    response = browser.post(RESET, {"email": "erin@new.test"})
    assert response.url == RESET
    assert NOT_SENT in browser.get(RESET).content.decode()


def test_a_mere_notice_fails_nothing(browser, make_user):
    erin = make_user("erin@new.test", password=PASSWORD)
    EmailAddress.objects.create(user=erin, email=erin.email, primary=True, verified=True)
    browser.post(LOGIN, {"login": erin.email, "password": PASSWORD})
    fields = {"oldpassword": PASSWORD, "password1": f"{PASSWORD}-new", "password2": f"{PASSWORD}-new"}
    response = browser.post("/accounts/password/change/", fields)
    assert response.url == "/accounts/password/change/"
    assert not any("could not be sent" in text for text in told(response))
    erin.refresh_from_db()
    assert erin.check_password(f"{PASSWORD}-new")


def test_an_invitation_stands_and_knows(acme, as_alice, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        invitation = invitations.invite(acme, as_alice, email="erin@new.test", role=roles.DEVELOPER)
    assert invitation.is_undelivered
    assert Invitation.objects.of(acme).get().email == "erin@new.test"
