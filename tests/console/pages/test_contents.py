"""Kept prompts and answers on pages: for whom, noted when read, gone when purged."""

from __future__ import annotations

import orjson
import pytest
from django.urls import reverse

from accounts import roles
from accounts.models import AuditEvent, Membership
from accounts.organizations import update_organization
from accounts.roles import Permission
from common.secrets import generate_entry
from metering import contents
from metering.models import Content
from tests.console.pages.conftest import record
from tests.console.pages.kept import PROMPT, keep

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept(acme, as_alice, key) -> str:
    update_organization(acme, as_alice, log_content=True)
    return keep(acme, record(acme, key, 60, prompt_hash=7).request_id)


def reads(organization) -> int:
    return AuditEvent.objects.of(organization).filter(action="content.read").count()


def test_a_request_shows_what_it_said_to_who_asks(as_browser, alice, acme, kept):
    browser = as_browser(alice)
    page = browser.get(reverse("logs-detail", args=[kept])).content.decode()
    assert "the invoice" not in page
    assert reads(acme) == 0
    said = browser.post(reverse("logs-content", args=[kept]))
    assert "What does &lt;b&gt;the invoice&lt;/b&gt; say?" in said.content.decode()
    assert "It says: pay." in said.content.decode()
    assert "no-store" in said["Cache-Control"]
    part = browser.post(reverse("logs-content", args=[kept]), headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert reads(acme) == 2


@pytest.mark.parametrize("role", roles.ROLES)
def test_only_some_roles_read_it(as_browser, bob, acme, kept, role):
    may = roles.allows(role, Permission.VIEW_CONTENT)
    assert may == (role in (roles.OWNER, roles.ADMIN, roles.AUDITOR))
    Membership.objects.of(acme).filter(user=bob).update(role=role)
    browser = as_browser(bob)
    assert browser.post(reverse("logs-content", args=[kept])).status_code == (200 if may else 403)
    assert browser.get(reverse("settings-content-export")).status_code == (200 if may else 403)
    page = browser.get(reverse("logs-detail", args=[kept])).content.decode()
    assert (reverse("logs-content", args=[kept]) in page) == may


def test_another_organisation_sees_nothing(as_browser, rival, mallory, kept):
    browser = as_browser(mallory)
    assert browser.post(reverse("logs-content", args=[kept])).status_code == 404
    assert b"".join(browser.get(reverse("settings-content-export"))) == b""


def test_an_export_is_whole(as_browser, alice, kept, acme):
    lines = b"".join(as_browser(alice).get(reverse("settings-content-export"))).splitlines()
    [said] = map(orjson.loads, lines)
    assert (said["id"], said["request"]["messages"][0]["content"]) == (kept, PROMPT)
    assert AuditEvent.objects.of(acme).filter(action="content.exported").exists()


def test_settings_tell_what_is_kept_and_purge_it(as_browser, alice, acme, kept):
    browser = as_browser(alice)
    assert reverse("settings-content-purge") in browser.get(reverse("settings")).content.decode()
    assert browser.get(reverse("settings-content-purge")).status_code == 200
    assert Content.objects.of(acme).count() == 1
    assert browser.post(reverse("settings-content-purge")).status_code == 302
    assert contents.stock_of(acme).requests == 0


def test_insight_says_what_prompts_say_when_asked_to(as_browser, alice, acme, kept):
    browser = as_browser(alice)
    assert "the invoice" not in browser.get(reverse("activity-insight")).content.decode()
    assert reads(acme) == 0
    page = browser.get(reverse("activity-insight") + "?texts=on").content.decode()
    assert "the invoice&lt;/b&gt; say?" in page
    assert reads(acme) == 1


def test_insight_is_silent_where_nothing_is_kept_any_more(as_browser, alice, acme, as_alice, kept):
    update_organization(acme, as_alice, log_content=False)
    assert "the invoice" not in as_browser(alice).get(reverse("activity-insight") + "?texts=on").content.decode()
    assert reads(acme) == 0


def test_the_keys_of_the_ring_are_changed(acme, kept, settings):
    old = settings.KEYRING
    settings.KEYRING = f"{old},{generate_entry(900)}"
    contents.keyring.cache_clear()
    try:
        assert contents.reseal(1) == (1, 0)
        assert contents.reseal(1) == (0, 0)
        [row] = Content.objects.of(acme)
        assert contents.opened(row) is not None
    finally:
        settings.KEYRING = old
        contents.keyring.cache_clear()
    [row] = Content.objects.of(acme)
    assert contents.opened(row) is None, "without the new key"
