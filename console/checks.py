"""ShareAI does not start insecure: each of these is an error of `manage.py check --deploy` and when a server starts.

The embedded demo binds to loopback only and is excused from none but the ones it cannot meet.
"""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from common.secrets import KeyRing, KeyRingInvalid

TAG = "shareai"
SHORTEST_SECRET = 40
FEWEST_DISTINCT_CHARS = 8
"""A random secret has fewer once in 10**10 times where it is written in hexadecimal, and never else."""
DEFAULTS = ("django-insecure-", "change", "secret", "default", "example", "your-")
"""How secrets begin that were never chosen."""


def _error(number: int, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"shareai.E{number:03d}")


@register(TAG, deploy=True)
def check_debug(**_: Any) -> list[CheckMessage]:
    if not settings.DEBUG:
        return []
    return [_error(1, "DEBUG is on.", "It shows settings and code to whoever meets an error. Set DEBUG=false.")]


@register(TAG, deploy=True)
def check_secret_key(**_: Any) -> list[CheckMessage]:
    secret = settings.SECRET_KEY
    hint = "Set SECRET_KEY to at least 40 random characters: openssl rand -base64 48"
    if len(secret) < SHORTEST_SECRET:
        return [_error(2, "SECRET_KEY is missing or too short to be one.", hint)]
    if secret.lower().startswith(DEFAULTS) or len(set(secret)) < FEWEST_DISTINCT_CHARS:
        return [_error(2, "SECRET_KEY is a default or a pattern, not a secret.", hint)]
    return []


@register(TAG, deploy=True)
def check_hosts(**_: Any) -> list[CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [_error(3, "ALLOWED_HOSTS allows every name.", "List the names under which ShareAI is reached.")]


@register(TAG, deploy=True)
def check_keyring(**_: Any) -> list[CheckMessage]:
    try:
        KeyRing.parse(settings.KEYRING)
    except KeyRingInvalid as error:
        hint = 'Set SHAREAI_KEYRING="1:$(openssl rand -base64 32)" and keep it: vendors\' keys are sealed with it.'
        return [_error(4, f"SHAREAI_KEYRING is not a key ring: {error}", hint)]
    return []


@register(TAG, deploy=True)
def check_redis(**_: Any) -> list[CheckMessage]:
    url = urlsplit(settings.REDIS_URL)
    if url.scheme == "unix" or url.password or _is_loopback(url.hostname or ""):
        return []
    hint = "Give REDIS_URL a password: redis://:password@host:6379/0"
    return [_error(5, "Redis is reached over a network without a password.", hint)]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
