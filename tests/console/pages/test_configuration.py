"""The settings page that takes the configuration out and puts it in."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from accounts.limits import find_limits
from accounts.scopes import ORGANISATION

pytestmark = pytest.mark.django_db

FILE = {
    "format": "shareai-configuration",
    "version": 1,
    "organization": {"slug": "beta", "name": "Beta <b>"},
    "limits": [{"scope": "organisation", "rpm": 7}, {"scope": "node", "subject": "attic", "rpm": 7}],
    "members": [{"email": "new@beta.test", "role": "viewer"}],
}


@pytest.fixture
def browser(as_browser, alice, acme) -> Client:
    return as_browser(alice)


def sent(browser: Client, content: bytes, **fields: object) -> object:
    body = {"upload": SimpleUploadedFile("c.json", content), "wish": "look", "sections": ["limits"]} | fields
    return browser.post(reverse("settings-configuration"), body)


def test_a_file_is_shown_first_and_imported_by_the_second_button(browser, acme):
    shown = sent(browser, json.dumps(FILE).encode())
    page = shown.content.decode()
    assert "Nothing has been changed yet." in page
    assert "Beta &lt;b&gt;" in page
    assert "Enrol it under this name" in page
    assert "new@beta.test" not in shown.context["rows"][0]["name"]
    assert find_limits(acme, ORGANISATION)["rpm"] is None
    body = {"text": shown.context["text"], "sections": ["limits"], "wish": "import"}
    done = browser.post(reverse("settings-configuration"), body)
    assert "The configuration is imported." in done.content.decode()
    assert find_limits(acme, ORGANISATION)["rpm"] == 7


@pytest.mark.parametrize("content", [b"", b"no json", b"\xff\xfe", b"[1]", b'{"format": "other"}'])
def test_what_is_no_configuration_is_refused_beside_the_field(browser, content):
    refused = sent(browser, content)
    assert refused.status_code == 422
    assert refused.context["form"].errors["upload"]


def test_the_export_is_a_file_that_imports_as_it_is(browser):
    taken = browser.get(reverse("settings-configuration-export"))
    assert "attachment" in taken["Content-Disposition"]
    shown = sent(browser, taken.content, sections=["settings", "members", "keys"])
    assert {row["outcome"] for row in shown.context["rows"]} == {"as it is"}
    assert "Import now" not in shown.content.decode()
