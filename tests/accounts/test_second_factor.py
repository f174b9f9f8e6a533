import base64
import hashlib
import hmac
import json
import struct
import time

import pytest
import time_machine
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.test import Client

from accounts.models import User
from common.secrets import KeyRing, SealBroken
from tests.conftest import PASSWORD
from tests.fakes.passkey import Passkey

LOGIN, AUTHENTICATE, REAUTHENTICATE = "/accounts/login/", "/accounts/2fa/authenticate/", "/accounts/reauthenticate/"
ACTIVATE_TOTP, ADD_PASSKEY = "/accounts/2fa/totp/activate/", "/accounts/2fa/webauthn/add/"
PASSKEY_LOGIN, RECOVERY = "/accounts/2fa/webauthn/login/", "/accounts/2fa/recovery-codes/"


@pytest.fixture(autouse=True)
def noon():
    with time_machine.travel("2027-03-01T12:00:00Z", tick=False) as clock:
        yield clock


@pytest.fixture
def erin(make_user) -> User:
    erin = make_user("erin@acme.test", password=PASSWORD)
    EmailAddress.objects.create(user=erin, email=erin.email, verified=True, primary=True)
    return erin


@pytest.fixture
def browser(erin) -> Client:
    """erin, signed in, and just asked for the password again."""
    browser = Client()
    sign_in(browser)
    browser.post(REAUTHENTICATE, {"password": PASSWORD})
    return browser


def sign_in(browser):
    return browser.post(LOGIN, {"login": "erin@acme.test", "password": PASSWORD})


def is_signed_in(browser, user) -> bool:
    return browser.session.get("_auth_user_id") == str(user.pk)


def totp(secret: str) -> str:
    """RFC 6238, as an authenticator app computes it."""
    counter = struct.pack(">Q", int(time.time()) // 30)
    mac = hmac.digest(base64.b32decode(secret), counter, hashlib.sha1)
    offset = mac[-1] & 15
    number = struct.unpack(">I", mac[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


@pytest.fixture
def app_secret(browser) -> str:
    """erin has an authenticator app with this secret."""
    secret = browser.get(ACTIVATE_TOTP).context["form"].secret
    assert browser.post(ACTIVATE_TOTP, {"code": totp(secret)}).status_code == 302
    return secret


class TestAuthenticatorApp:
    def test_the_password_alone_does_not_sign_in(self, app_secret, erin):
        elsewhere = Client()
        assert sign_in(elsewhere).url == AUTHENTICATE
        assert not is_signed_in(elsewhere, erin)

    def test_with_the_code_it_does(self, app_secret, erin, noon):
        noon.shift(60)
        elsewhere = Client()
        sign_in(elsewhere)
        assert elsewhere.post(AUTHENTICATE, {"code": totp(app_secret)}).url == "/"
        assert is_signed_in(elsewhere, erin)

    def test_a_wrong_code_does_not(self, app_secret, erin):
        elsewhere = Client()
        sign_in(elsewhere)
        elsewhere.post(AUTHENTICATE, {"code": "000000"})
        assert not is_signed_in(elsewhere, erin)

    def test_a_code_works_once(self, app_secret, erin, noon):
        noon.shift(60)
        first, second = Client(), Client()
        for elsewhere in (first, second):
            sign_in(elsewhere)
            elsewhere.post(AUTHENTICATE, {"code": totp(app_secret)})
        assert (is_signed_in(first, erin), is_signed_in(second, erin)) == (True, False)

    def test_a_wrong_code_does_not_enrol(self, browser, erin):
        browser.get(ACTIVATE_TOTP)
        browser.post(ACTIVATE_TOTP, {"code": "000000"})
        assert not Authenticator.objects.exists()

    def test_its_secret_is_sealed_in_the_database(self, app_secret, settings):
        stored = Authenticator.objects.get(type=Authenticator.Type.TOTP).data["secret"]
        assert app_secret not in stored
        ring, sealed = KeyRing.parse(settings.KEYRING), base64.b64decode(stored)
        assert ring.open(sealed, "mfa_authenticator|data").decode() == app_secret
        with pytest.raises(SealBroken):
            ring.open(sealed, "providers_credential|1|2|x")

    def test_the_code_by_mail_does_not_go_around_it(self, app_secret, erin, mailoutbox):
        elsewhere = Client()
        elsewhere.post("/accounts/login/code/", {"email": erin.email})
        code = next(line for line in mailoutbox[-1].body.splitlines() if line.isupper() and len(line) < 12)
        assert elsewhere.post("/accounts/login/code/confirm/", {"code": code}).url == AUTHENTICATE
        assert not is_signed_in(elsewhere, erin)

    def test_there_is_no_other_door_for_staff(self, app_secret, erin):
        """Django's own administration signs in by password alone, and counts no attempts."""
        User.objects.filter(pk=erin.pk).update(is_staff=True, is_superuser=True)
        elsewhere = Client()
        for path in ("/staff/login/", "/staff/", "/admin/login/"):
            elsewhere.post(path, {"username": erin.email, "password": PASSWORD, "next": "/"})
            assert not is_signed_in(elsewhere, erin)


class TestRecoveryCodes:
    @pytest.fixture
    def codes(self, app_secret, browser) -> list[str]:
        return browser.get(RECOVERY).context["unused_codes"]

    def test_each_signs_in_once(self, codes, erin):
        assert len(codes) == 10
        outcomes = []
        for _ in range(2):
            elsewhere = Client()
            sign_in(elsewhere)
            elsewhere.post(AUTHENTICATE, {"code": codes[0]})
            outcomes.append(is_signed_in(elsewhere, erin))
        assert outcomes == [True, False]

    def test_they_are_sealed_and_shown_once(self, codes, browser):
        stored = json.dumps(Authenticator.objects.get(type=Authenticator.Type.RECOVERY_CODES).data)
        assert not [code for code in codes if code in stored]
        again = browser.get(RECOVERY)
        assert not [code for code in codes if code in again.content.decode()]


class TestPasskey:
    @pytest.fixture
    def passkey(self, browser) -> Passkey:
        passkey = Passkey("http://testserver")
        options = browser.get(ADD_PASSKEY).context["js_data"]["creation_options"]
        credential = passkey.register(json.loads(json.dumps(options)))
        form = {"name": "Laptop", "passwordless": "on", "credential": json.dumps(credential)}
        assert browser.post(ADD_PASSKEY, form).status_code == 302
        return passkey

    @staticmethod
    def sign_in(browser, passkey: Passkey, **changes):
        options = browser.get(PASSKEY_LOGIN, headers={"accept": "application/json"}).json()["request_options"]
        assertion = passkey.sign_in(options)
        assertion["response"] |= changes
        return browser.post(PASSKEY_LOGIN, {"credential": json.dumps(assertion)})

    def test_it_signs_in_alone(self, passkey, erin):
        elsewhere = Client()
        assert self.sign_in(elsewhere, passkey).url == "/"
        assert is_signed_in(elsewhere, erin)

    def test_another_one_does_not(self, passkey, erin):
        stranger = Passkey("http://testserver")
        stranger.id, stranger.user_handle = passkey.id, passkey.user_handle
        elsewhere = Client()
        self.sign_in(elsewhere, stranger)
        assert not is_signed_in(elsewhere, erin)

    def test_an_answer_to_an_older_question_does_not(self, passkey, erin):
        elsewhere = Client()
        ask = lambda: elsewhere.get(PASSKEY_LOGIN, headers={"accept": "application/json"}).json()  # noqa: E731
        old = passkey.sign_in(ask()["request_options"])
        ask()
        elsewhere.post(PASSKEY_LOGIN, {"credential": json.dumps(old)})
        assert not is_signed_in(elsewhere, erin)

    def test_after_the_password_it_is_the_second_factor(self, passkey, erin):
        elsewhere = Client()
        assert sign_in(elsewhere).url == AUTHENTICATE
        options = elsewhere.get(AUTHENTICATE).context["js_data"]["request_options"]
        assertion = passkey.sign_in(json.loads(json.dumps(options)))
        elsewhere.post(AUTHENTICATE, {"credential": json.dumps(assertion)})
        assert is_signed_in(elsewhere, erin)

    def test_registering_needs_the_password_again(self, erin):
        elsewhere = Client()
        elsewhere.force_login(erin)
        assert elsewhere.get(ADD_PASSKEY).url.startswith(REAUTHENTICATE)
