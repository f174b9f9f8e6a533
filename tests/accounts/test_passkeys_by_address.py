"""Where ShareAI is opened by an IP address, for which no browser makes a passkey, the pages say where it would."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.test import Client

from tests.conftest import PASSWORD

LOGIN, PASSKEYS = "/accounts/login/", "/accounts/2fa/webauthn/"
BUTTON = 'id="passkey_login"'
BY_NAME = ["localhost:8000", "ai.example.com"]
BY_ADDRESS = ["127.0.0.1:8000", "[::1]:8000", "192.168.1.20"]


@pytest.fixture(autouse=True)
def hosts(settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]


def page(host: str, path: str, browser: Client | None = None) -> str:
    return (browser or Client()).get(path, headers={"host": host}).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("host", BY_NAME)
def test_by_name_a_passkey_opens_the_door(host):
    assert BUTTON in page(host, LOGIN)
    assert "Passkeys need a name" not in page(host, LOGIN)


@pytest.mark.django_db
@pytest.mark.parametrize("host", BY_ADDRESS)
def test_by_address_it_is_not_offered(host):
    assert BUTTON not in page(host, LOGIN)
    assert "Passkeys need a name" in page(host, LOGIN)


@pytest.mark.django_db
def test_on_this_machine_the_way_there_is_told_with_port_and_place():
    assert 'href="http://localhost:8000/accounts/login/?next=/keys"' in page("127.0.0.1:8000", LOGIN + "?next=/keys")
    assert "localhost" not in page("192.168.1.20", LOGIN)


def test_nor_can_one_be_added(make_user):
    erin = make_user("erin@acme.test", password=PASSWORD)
    EmailAddress.objects.create(user=erin, email=erin.email, verified=True, primary=True)
    browser = Client()
    browser.post(LOGIN, {"login": erin.email, "password": PASSWORD})
    assert "/accounts/2fa/webauthn/add/" in page("localhost:8000", PASSKEYS, browser)
    by_address = page("127.0.0.1:8000", PASSKEYS, browser)
    assert "/accounts/2fa/webauthn/add/" not in by_address
    assert "http://localhost:8000/accounts/2fa/webauthn/" in by_address
