import pytest
from allauth.usersessions.models import UserSession
from django.test import Client

from tests.conftest import PASSWORD

LIST = "/accounts/sessions/"


@pytest.fixture
def sign_in(erin):
    def sign_in(agent: str) -> Client:
        browser = Client(HTTP_USER_AGENT=agent)
        browser.post("/accounts/login/", {"login": erin.email, "password": PASSWORD})
        return browser

    return sign_in


def is_signed_in(browser) -> bool:
    return browser.get(LIST).status_code == 200


def test_each_browser_is_listed(sign_in):
    laptop, _phone = sign_in("Laptop"), sign_in("Phone")
    listed = {session.user_agent for session in laptop.get(LIST).context["sessions"]}
    assert listed == {"Laptop", "Phone"}


def test_only_ones_own(sign_in, client_of, alice):
    sign_in("Laptop")
    (listed,) = client_of(alice).get(LIST).context["sessions"]
    assert listed.user == alice


def test_the_others_can_be_ended(sign_in):
    laptop, phone = sign_in("Laptop"), sign_in("Phone")
    laptop.post(LIST)
    assert (is_signed_in(laptop), is_signed_in(phone)) == (True, False)
    assert UserSession.objects.get().user_agent == "Laptop"


def test_a_new_password_ends_the_others(sign_in):
    laptop, phone = sign_in("Laptop"), sign_in("Phone")
    laptop.post("/accounts/reauthenticate/", {"password": PASSWORD})
    laptop.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": "a wholly new one", "password2": "a wholly new one"},
    )
    assert (is_signed_in(laptop), is_signed_in(phone)) == (True, False)


def test_when_a_session_was_seen_is_noted_once_a_minute_and_another_client_at_once(sign_in):
    laptop = sign_in("Laptop")
    laptop.get(LIST)
    noted = UserSession.objects.get().last_seen_at
    laptop.get(LIST)
    assert UserSession.objects.get().last_seen_at == noted
    laptop.get(LIST, headers={"User-Agent": "Another browser"})
    session = UserSession.objects.get()
    assert (session.user_agent, session.last_seen_at > noted) == ("Another browser", True)
