"""The ways in, as a person walks them: password, second factor, recovery codes, a passkey."""

from __future__ import annotations

import re
import time

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import expect

from tests.conftest import PASSWORD
from tests.e2e.conftest import keep, violations

STEP_S = 30


@pytest.fixture
def owner(tenant):
    """Who has a password and a proven address."""
    tenant.owner.set_password(PASSWORD)
    tenant.owner.save()
    EmailAddress.objects.create(user=tenant.owner, email=tenant.owner.email, verified=True, primary=True)
    return tenant.owner


def enter(page, owner):
    page.goto("/accounts/login/")
    page.get_by_label("E-mail").fill(owner.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sound(page, name):
    keep(page, name)
    assert violations(page) == []


def confirm(page):
    """Who changes a second factor says who it is once more."""
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    sound(page, "reauthenticate")
    page.get_by_role("button", name="Confirm").click()


def leave(page):
    page.get_by_label("Your account").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/accounts/login/**")


def test_a_second_factor_is_set_up_and_then_asked_for(page, owner):
    enter(page, owner)
    expect(page.get_by_text("Quick start")).to_be_visible()
    page.goto("/accounts/2fa/")
    sound(page, "mfa before")
    page.get_by_role("link", name="Activate").click()
    confirm(page)
    secret = page.locator("#authenticator_secret").input_value()
    sound(page, "mfa totp")
    page.get_by_label("Authenticator code").fill(code_of(secret))
    page.get_by_role("button", name="Activate").click()
    expect(page.locator("#recovery_codes")).to_be_visible()
    recovery_code = page.locator("#recovery_codes").input_value().split()[0]
    sound(page, "mfa recovery codes")
    page.goto("/")
    leave(page)
    enter(page, owner)
    expect(page.get_by_label("Code", exact=True)).to_be_visible()
    sound(page, "mfa asked")
    page.get_by_label("Code", exact=True).fill(recovery_code)
    page.get_by_role("button", name="Sign In", exact=True).click()
    expect(page.get_by_text("Quick start")).to_be_visible()
    page.goto("/accounts/2fa/")
    sound(page, "mfa after")


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // STEP_S))


def test_a_passkey_is_added_and_opens_the_door(browser, gateway, owner):
    # Passkeys belong to a name: browsers make none for an address such as 127.0.0.1.
    context = browser.new_context(base_url=gateway.url.replace("127.0.0.1", "localhost"))
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {"options": options | {"isUserVerified": True, "automaticPresenceSimulation": True}},
    )
    enter(page, owner)
    expect(page.get_by_text("Quick start")).to_be_visible()
    page.goto("/accounts/2fa/webauthn/add/")
    confirm(page)
    sound(page, "passkey add")
    page.get_by_label("Name").fill("laptop")
    if page.get_by_role("checkbox").count():
        page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Add").click()
    page.wait_for_url(re.compile(r"/2fa/(?!webauthn/add/)"))  # away from the form: its answer is here
    page.goto("/accounts/2fa/webauthn/")
    expect(page.get_by_text("laptop")).to_be_visible()
    sound(page, "passkey list")
    leave(page)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_text("Quick start")).to_be_visible()
    context.close()


def test_a_wrong_password_is_told_beside_the_form(page, owner):
    page.goto("/accounts/login/")
    page.get_by_label("E-mail").fill(owner.email)
    page.get_by_label("Password", exact=True).fill("not the password")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator(".note.tone-bad")).to_be_visible()
    assert page.get_by_label("E-mail").input_value() == owner.email
    sound(page, "login refused")


def test_a_code_by_mail_is_asked_for(page, owner):
    page.goto("/accounts/login/")
    page.get_by_role("link", name="Send me a code by e-mail").click()
    page.get_by_role("textbox").fill(owner.email)
    page.get_by_role("button", name="Request Code").click()
    expect(page.get_by_role("button", name="Confirm")).to_be_visible()
    sound(page, "login code")
