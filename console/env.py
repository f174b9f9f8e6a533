"""Reads settings from the environment. A wrong value raises at start, naming the variable."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where e-mail is handed in. Without a host there is none, and e-mail is printed."""

    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    starts_tls: bool = False
    is_tls: bool = False

    @property
    def backend(self) -> str:
        return f"django.core.mail.backends.{'smtp' if self.host else 'console'}.EmailBackend"


_MAIL_PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def _parsed(name: str, default: T, parse: Callable[[str], T], *, is_secret: bool = False) -> T:
    raw = os.environ.get(name)
    if raw is None or raw == "":
        return default
    try:
        return parse(raw)
    except ValueError as error:
        told = name if is_secret else f"{name}={raw!r}"
        raise ImproperlyConfigured(f"{told} is not valid: {error}") from (None if is_secret else error)


def integer(name: str, default: int, least: int | None = None) -> int:
    def parse(raw: str) -> int:
        value = int(raw)
        if least is not None and value < least:
            raise ValueError(f"use a whole number from {least} on")
        return value

    return _parsed(name, default, parse)


def number(name: str, default: float) -> float:
    return _parsed(name, default, float)


def seconds(name: str, default: float) -> float:
    def parse(raw: str) -> float:
        value = float(raw)
        if not 0 < value < float("inf"):
            raise ValueError("use a number of seconds greater than 0")
        return value

    return _parsed(name, default, parse)


def boolean(name: str, default: bool) -> bool:
    def parse(raw: str) -> bool:
        lowered = raw.strip().lower()
        if lowered in _TRUE:
            return True
        if lowered in _FALSE:
            return False
        raise ValueError("use true or false")

    return _parsed(name, default, parse)


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list, blanks dropped."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def require_long_secret(name: str, secret: str, least: int) -> None:
    """An empty one would verify whatever is signed with an empty key."""
    if len(secret) < least:
        raise ImproperlyConfigured(f"{name} must have at least {least} characters; this one has {len(secret)}.")


def database(name: str = "DATABASE_URL") -> dict[str, object]:
    """Django's database settings from a `postgresql://` URL; sockets by `?host=/dir`."""
    url = text(name)
    if not url:
        raise ImproperlyConfigured(
            f"{name} is not set. `make run` starts an embedded PostgreSQL and sets it; "
            "elsewhere give postgresql://user:password@host:5432/name."
        )
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"{name} must start with postgresql://, not {parts.scheme}://")
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    host = unquote(query.pop("host", parts.hostname or ""))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/") or "postgres",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "OPTIONS": {key: unquote(value) for key, value in query.items()},
    }


def mail(name: str) -> MailServer:
    """From `smtp://user:password@host:587`, which insists on STARTTLS, `smtps://` or, without TLS, `smtp+plain://`."""

    def parse(raw: str) -> MailServer:
        try:
            parts = urlsplit(raw)
        except ValueError:
            raise ValueError("it is not a URL") from None  # the reason may repeat the password
        if parts.scheme not in _MAIL_PORTS:
            raise ValueError(f"it must start with {', '.join(f'{scheme}://' for scheme in _MAIL_PORTS)}")
        if not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("use smtp://user:password@host:587")
        return MailServer(
            parts.hostname,
            parts.port or _MAIL_PORTS[parts.scheme],
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            starts_tls=parts.scheme == "smtp",
            is_tls=parts.scheme == "smtps",
        )

    return _parsed(name, MailServer(), parse, is_secret=True)
