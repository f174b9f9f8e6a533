"""Every page of sign-in and of one's own account can be shown, in both languages."""

import pytest
from django.test import Client

from tests.conftest import PASSWORD

FOR_VISITORS = ["login/", "signup/", "login/code/", "password/reset/"]
FOR_USERS = [
    "email/",
    "password/change/",
    "logout/",
    "reauthenticate/",
    "sessions/",
    "2fa/",
    "2fa/totp/activate/",
    "2fa/webauthn/",
    "2fa/webauthn/add/",
    "3rdparty/",
]


@pytest.mark.parametrize("language", ["en", "th"])
@pytest.mark.parametrize("page", FOR_VISITORS)
def test_a_visitor_sees(db, page, language):
    response = Client().get(f"/accounts/{page}", headers={"accept-language": language})
    assert response.status_code == 200
    assert response["content-language"] == language


@pytest.mark.parametrize("page", FOR_USERS)
def test_a_user_sees(erin, page):
    browser = Client()
    browser.post("/accounts/login/", {"login": erin.email, "password": PASSWORD})
    browser.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert browser.get(f"/accounts/{page}").status_code == 200
