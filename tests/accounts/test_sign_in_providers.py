"""Sign-in by others is there only when the environment names it. Each case starts a process, as a deployment does."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from console import settings as configured
from console.sign_in_providers import sign_in_providers

GITHUB = {"GITHUB_CLIENT_ID": "id", "GITHUB_CLIENT_SECRET": "s"}
GOOGLE = {"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "s"}
OIDC = {"OIDC_CLIENT_ID": "id", "OIDC_CLIENT_SECRET": "s", "OIDC_SERVER_URL": "https://id.acme.test"}

ASK = """
import django
django.setup()
from django.core.management import call_command
from django.urls import NoReverseMatch, reverse
call_command("check")
for name, args in (("github_login", []), ("google_login", []), ("openid_connect_login", ["oidc"])):
    try:
        print(reverse(name, args=args))
    except NoReverseMatch:
        print("-")
"""


def sign_in_pages(**environment: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK],
        env={**os.environ, **environment, "DJANGO_SETTINGS_MODULE": "console.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()[-3:]


def test_passwords_are_hashed_with_argon2_as_it_ships():
    assert configured.PASSWORD_HASHERS[0] == "django.contrib.auth.hashers.Argon2PasswordHasher"


def test_none_by_default():
    assert sign_in_pages() == ["-", "-", "-"]


def test_all_when_configured():
    assert sign_in_pages(**GITHUB, **GOOGLE, **OIDC) == [
        "/accounts/github/login/",
        "/accounts/google/login/",
        "/accounts/oidc/oidc/login/",
    ]


def test_secrets_are_where_allauth_looks_for_them(monkeypatch):
    for name, value in (GITHUB | OIDC | {"OIDC_NAME": "Acme"}).items():
        monkeypatch.setenv(name, value)
    providers = sign_in_providers()
    assert providers["github"]["APPS"] == [{"client_id": "id", "secret": "s"}]
    assert providers["openid_connect"]["APPS"] == [
        {
            "client_id": "id",
            "secret": "s",
            "provider_id": "oidc",
            "name": "Acme",
            "settings": {"server_url": "https://id.acme.test"},
        }
    ]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"GITHUB_CLIENT_ID": "id"}, "GITHUB_CLIENT_SECRET"),
        ({"OIDC_CLIENT_ID": "id", "OIDC_CLIENT_SECRET": "s"}, "OIDC_SERVER_URL"),
        ({"OIDC_SERVER_URL": "https://id.acme.test"}, "OIDC_CLIENT_ID, OIDC_CLIENT_SECRET"),
    ],
)
def test_half_a_configuration_does_not_start(monkeypatch, given, missing):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=missing):
        sign_in_providers()
