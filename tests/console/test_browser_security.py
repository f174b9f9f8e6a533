"""What every page tells the browser that shows it, and how cookies are kept."""

from __future__ import annotations

import runpy
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver

from console.addresses import OF_DJANGO
from tests.conftest import PASSWORD


@pytest.fixture
def over_https(monkeypatch) -> dict[str, Any]:
    """The settings of a console that is reached by https."""
    monkeypatch.setenv("PUBLIC_URL", "https://console.example")
    return runpy.run_module("console.settings")


def test_behind_https_nothing_goes_without_it(over_https):
    assert over_https["SECURE_HSTS_SECONDS"] >= 31_536_000
    for name in ("SESSION_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY", "CSRF_COOKIE_SECURE"):
        assert over_https[name] is True, name
    assert over_https["ACCOUNT_DEFAULT_HTTP_PROTOCOL"] == "https"
    assert over_https["MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN"] is False
    assert over_https["SECURE_PROXY_SSL_HEADER"] is None  # nobody in front who would take a stranger's word away


@pytest.mark.parametrize("path", ["/accounts/login/", "/causes/", "/nowhere", "/static/nothing.js"])
def test_every_page(client, db, settings, over_https, path):
    settings.SECURE_HSTS_SECONDS = over_https["SECURE_HSTS_SECONDS"]
    told = Client().get(path, secure=True)
    assert told["Strict-Transport-Security"].startswith("max-age=31536000")
    assert told["X-Content-Type-Options"] == "nosniff"
    assert told["X-Frame-Options"] == "DENY"
    assert told["Referrer-Policy"] == "same-origin"
    policy = dict(part.strip().partition(" ")[::2] for part in told["Content-Security-Policy"].split(";"))
    assert {"'self'", "'none'"} >= {policy["default-src"], policy["object-src"], policy["base-uri"]}
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert "unsafe" not in told["Content-Security-Policy"]


def test_a_session_s_cookie_is_no_script_s(client, make_user):
    make_user("erin@acme.test", password=PASSWORD)
    client.post("/accounts/login/", {"login": "erin@acme.test", "password": PASSWORD})
    cookie = client.cookies["sessionid"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


ASKED_BY_PROGRAMS = {"/nodes/v1/enroll", "/billing/stripe", *OF_DJANGO}
"""They are shown a token or a signature, and no cookie."""


def test_no_page_is_open_to_forged_forms():
    """The management API asks a session for the token itself; its views for documents only read."""
    exempt = {path for path, view in views() if getattr(view, "csrf_exempt", False) and not path.startswith("/api/")}
    documents = {path for path in exempt if path.startswith("/docs/")}
    assert exempt - documents == ASKED_BY_PROGRAMS


def test_none_of_djangos_own_ways_to_sign_in_is_there():
    """They know neither the second factor nor how often somebody tried."""
    own = {
        path for path, view in views() if view.__module__.startswith(("django.contrib.auth", "django.contrib.admin"))
    }
    assert own == set()


def views(patterns: Iterable[Any] | None = None, before: str = "/") -> Iterator[tuple[str, Any]]:
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        path = f"{before}{entry.pattern}"
        if isinstance(entry, URLResolver):
            yield from views(entry.url_patterns, path)
        else:
            yield path, entry.callback
