"""Text from strangers that takes its readers long: canonical forms cost the square of a run of combining marks."""

from __future__ import annotations

import httpx
import pytest

from accounts.errors import InvalidField
from accounts.fields import cleaned_name, cleaned_tags
from providers import diagnosis, drafts
from providers.errors import InvalidConnection
from providers.presets import PRESETS

MARKS = "a" + 100_000 * "\u0345" + 100_000 * "\u0300" + 100_000 * "\u0316"
"""Normalised, it would hold up a process for half an hour, with everybody it serves."""

pytestmark = pytest.mark.timeout(60)


def test_a_name_and_a_tag():
    with pytest.raises(InvalidField):
        cleaned_name(MARKS, longest=120)
    with pytest.raises(InvalidField):
        cleaned_tags([MARKS])


def test_a_name_that_is_short_only_when_composed():
    assert cleaned_name("e\u0301" * 120, longest=120) == "é" * 120


def test_the_address_of_a_provider():
    with pytest.raises(InvalidConnection):
        drafts.clean_base_url(PRESETS["custom"], f"https://{MARKS}.example/v1")


def test_where_an_upstream_redirects_to():
    headers = httpx.Headers([(b"location", f"https://{MARKS}/".encode())], encoding="utf-8")
    failure = diagnosis.of_answer(302, headers, b"", "", "https://llm.example.com")
    assert failure is not None
    assert failure.code == "redirect"


def test_the_form_of_a_key(client_of, alice, acme):
    answer = client_of(alice).post("/keys/new", {"name": "App", "scopes": ["inference"], "tags": MARKS})
    assert answer.status_code == 422


def test_where_to_go_on(client):
    assert client.post("/preferences/theme", {"theme": "dark", "next": f"//{MARKS}"}).url == "/"
