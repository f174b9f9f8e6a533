"""Another e-mail address: proven before it counts, and then the only way in by name."""

from __future__ import annotations

import re

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from accounts.models import User
from tests.conftest import PASSWORD

LOGIN, EMAIL, CONFIRM = "/accounts/login/", "/accounts/email/", "/accounts/confirm-email/"
REAUTHENTICATE = "/accounts/reauthenticate/"
OLD, NEW = "erin@acme.test", "erin@new.test"


@pytest.fixture
def erin(make_user) -> User:
    erin = make_user(OLD, password=PASSWORD)
    EmailAddress.objects.create(user=erin, email=OLD, verified=True, primary=True)
    return erin


@pytest.fixture
def browser(erin) -> Client:
    """Who is signed in and has said once more who it is."""
    browser = Client()
    assert sign_in(browser, OLD)
    browser.post(REAUTHENTICATE, {"password": PASSWORD})
    return browser


def sign_in(browser: Client, email: str) -> bool:
    browser.post(LOGIN, {"login": email, "password": PASSWORD})
    return "_auth_user_id" in browser.session


def code_from_mail() -> str:
    found = re.search(r"^\s*([A-Z0-9]{3,4}-?[A-Z0-9]{3,4})\s*$", mail.outbox[-1].body, re.M)
    assert found is not None, mail.outbox[-1].body
    return found[1]


def prove(browser: Client) -> None:
    browser.post(EMAIL, {"action_add": "", "email": NEW})
    assert mail.outbox[-1].to == [NEW]
    browser.post(CONFIRM, {"code": code_from_mail()})


def primary_of(erin: User) -> tuple[str, str]:
    """As the account has it, and as keys, invitations and the audit trail call the person."""
    erin.refresh_from_db()
    return EmailAddress.objects.get(user=erin, primary=True).email, erin.email


def test_it_is_asked_for_once_more_who_it_is(erin):
    browser = Client()
    sign_in(browser, OLD)
    assert browser.post(EMAIL, {"action_add": "", "email": NEW}).url.startswith(REAUTHENTICATE)
    assert mail.outbox == []


def test_an_address_that_is_not_proven_does_not_count(browser, erin):
    browser.post(EMAIL, {"action_add": "", "email": NEW})
    assert mail.outbox[-1].to == [NEW]
    browser.post(EMAIL, {"action_primary": "", "email": NEW})
    assert primary_of(erin) == (OLD, OLD)
    assert not sign_in(Client(), NEW)


def test_a_proven_one_becomes_the_persons_and_the_old_one_goes(browser, erin):
    prove(browser)
    browser.post(EMAIL, {"action_primary": "", "email": NEW})
    assert primary_of(erin) == (NEW, NEW)
    browser.post(EMAIL, {"action_remove": "", "email": OLD})
    assert [address.email for address in EmailAddress.objects.filter(user=erin)] == [NEW]
    assert sign_in(Client(), NEW)
    assert not sign_in(Client(), OLD)


def test_the_last_address_stays(browser, erin):
    browser.post(EMAIL, {"action_remove": "", "email": OLD})
    assert primary_of(erin) == (OLD, OLD)


def test_the_address_of_another_person_is_not_taken(browser, erin, make_user):
    other = make_user(NEW, password=PASSWORD)
    EmailAddress.objects.create(user=other, email=NEW, verified=True, primary=True)
    browser.post(EMAIL, {"action_add": "", "email": NEW})
    assert not EmailAddress.objects.filter(user=erin, email=NEW, verified=True).exists()
    assert primary_of(other) == (NEW, NEW)
