import re

import pytest
from django.core import mail
from django.test import Client

from accounts import current
from accounts.models import User
from tests.accounts.mails import code_of_last_mail
from tests.conftest import PASSWORD

LOGIN, REQUEST_CODE, CONFIRM_CODE = "/accounts/login/", "/accounts/login/code/", "/accounts/login/code/confirm/"
REAUTHENTICATE = "/accounts/reauthenticate/"


@pytest.fixture
def browser(db) -> Client:
    return Client()


def is_signed_in(browser, user) -> bool:
    return browser.session.get("_auth_user_id") == str(user.pk)


def sign_in(browser, password=PASSWORD, email="erin@acme.test"):
    return browser.post(LOGIN, {"login": email, "password": password})


class TestByPassword:
    def test_the_page_offers_every_way_in(self, browser):
        page = browser.get(LOGIN)
        assert page.context["form"].fields.keys() == {"login", "password", "remember"}
        assert REQUEST_CODE in page.content.decode()
        assert "<title>Sign in · ShareAI</title>" in page.content.decode()

    @pytest.mark.parametrize(("remember", "until_closed"), [({}, True), ({"remember": "on"}, False)])
    def test_it_is_remembered_when_asked_for(self, browser, erin, remember, until_closed):
        browser.post(LOGIN, {"login": erin.email, "password": PASSWORD} | remember)
        assert is_signed_in(browser, erin)
        assert browser.session.get_expire_at_browser_close() == until_closed

    def test_the_right_one(self, browser, erin):
        assert sign_in(browser, email="ERIN@acme.test").url == "/"
        assert is_signed_in(browser, erin)

    def test_a_wrong_one_keeps_what_was_typed(self, browser, erin):
        response = sign_in(browser, "wrong")
        assert response.context["form"]["login"].value() == "erin@acme.test"
        assert not is_signed_in(browser, erin)

    def test_unknown_addresses_are_answered_alike(self, browser, erin):
        known, unknown = sign_in(browser, "wrong"), sign_in(browser, "wrong", "nobody@acme.test")
        assert known.context["form"].errors == unknown.context["form"].errors

    def test_guessing_is_stopped_and_the_right_one_with_it(self, browser, erin):
        for _ in range(5):
            sign_in(browser, "wrong")
        sign_in(browser)
        assert not is_signed_in(browser, erin)

    def test_an_inactive_user_stays_out(self, browser, erin):
        User.objects.filter(pk=erin.pk).update(is_active=False)
        sign_in(browser)
        assert not is_signed_in(browser, erin)


class TestByCode:
    @staticmethod
    def request(browser, email="erin@acme.test"):
        return browser.post(REQUEST_CODE, {"email": email})

    def test_the_code_from_the_mail(self, browser, erin):
        assert self.request(browser).url == CONFIRM_CODE
        assert browser.post(CONFIRM_CODE, {"code": code_of_last_mail()}).url == "/"
        assert is_signed_in(browser, erin)

    def test_a_wrong_code_three_times_ends_it(self, browser, erin):
        self.request(browser)
        right = code_of_last_mail()
        for _ in range(3):
            browser.post(CONFIRM_CODE, {"code": "WRONG1"})
        browser.post(CONFIRM_CODE, {"code": right})
        assert not is_signed_in(browser, erin)

    def test_the_code_works_only_where_it_was_asked_for(self, browser, erin):
        self.request(browser)
        elsewhere = Client()
        elsewhere.post(CONFIRM_CODE, {"code": code_of_last_mail()})
        assert not is_signed_in(elsewhere, erin)

    def test_it_expires(self, browser, erin, noon):
        self.request(browser)
        noon.shift(181)
        browser.post(CONFIRM_CODE, {"code": code_of_last_mail()})
        assert not is_signed_in(browser, erin)

    def test_an_unknown_address_is_not_given_away(self, browser, erin):
        assert self.request(Client(), "nobody@acme.test").url == self.request(browser).url

    def test_it_is_limited_per_address(self, browser, erin):
        answers = [self.request(Client()).status_code for _ in range(4)]
        assert len(mail.outbox) == 3
        assert answers[:3] == [302, 302, 302]

    def test_the_mail_is_in_the_readers_language(self, browser, erin):
        User.objects.filter(pk=erin.pk).update(language="th")
        self.request(browser)
        in_thai = mail.outbox[-1].subject
        User.objects.filter(pk=erin.pk).update(language="en")
        self.request(Client())
        assert in_thai != mail.outbox[-1].subject


class TestProvingItAgain:
    @pytest.fixture
    def request_of(self, rf, browser, erin):
        def make():
            request = rf.get("/keys/")
            request.session, request.user = browser.session, erin
            return request

        return make

    def test_a_sign_in_counts_for_ten_minutes(self, browser, noon, request_of):
        sign_in(browser)
        noon.shift(599)
        assert current.recently_authenticated(request_of())
        noon.shift(1)
        assert not current.recently_authenticated(request_of())

    def test_the_password_again_counts_for_ten_more(self, browser, noon, request_of):
        sign_in(browser)
        noon.shift(3600)
        browser.post(REAUTHENTICATE, {"password": "wrong"})
        assert not current.recently_authenticated(request_of())
        browser.post(REAUTHENTICATE, {"password": PASSWORD})
        assert current.recently_authenticated(request_of())

    def test_nobody_else_inherits_it(self, browser, request_of, alice):
        sign_in(browser)
        request = request_of()
        browser.logout()
        request.session = browser.session
        assert not current.recently_authenticated(request)

    def test_a_user_without_anything_to_ask_for_is_let_through(self, request_of, erin):
        erin.set_unusable_password()
        assert current.recently_authenticated(request_of())

    def test_the_page_is_left_for_it_and_found_again(self, browser, noon, erin):
        sign_in(browser)
        noon.shift(3600)
        response = browser.get("/accounts/2fa/totp/activate/")
        assert response.url.startswith(REAUTHENTICATE)
        back = browser.post(response.url, {"password": PASSWORD, "next": "/accounts/2fa/totp/activate/"})
        assert back.url == "/accounts/2fa/totp/activate/"


def test_a_forgotten_password_is_set_anew_by_mail(browser, erin):
    browser.post("/accounts/password/reset/", {"email": "erin@acme.test"})
    path = re.search(r"http://[^/]+(/accounts/password/reset/key/\S+)", mail.outbox[-1].body)[1]
    page = browser.get(path, follow=True)
    browser.post(page.redirect_chain[-1][0], {"password1": "a wholly new one", "password2": "a wholly new one"})
    sign_in(browser, "a wholly new one")
    assert is_signed_in(browser, erin)
