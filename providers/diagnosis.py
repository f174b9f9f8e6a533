"""Why a connection does not work, in a sentence with the way out. Pure: answers and exceptions in, sentences out."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
from django.utils.translation import gettext as _

_LONGEST_QUOTE = 200
_LONGEST_URL = 1000
"""Splitting one takes the square of a run of marks in its host."""


class Failure(Exception):
    """A test ends here. `code` is for scripts, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def of_exception(error: httpx.HTTPError, host: str) -> Failure:
    causes = list(_chain(error))
    at = {"host": host}
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return Failure("timeout", _("%(host)s does not accept a connection. Is a firewall in between?") % at)
    if isinstance(error, httpx.TimeoutException):
        return Failure("timeout", _("%(host)s accepted the connection but did not answer in time.") % at)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure(
                "tls", _("%(host)s shows a certificate that is not trusted: %(why)s.") % (at | _why(cause))
            )
        if isinstance(cause, ssl.SSLError):
            return Failure(
                "tls", _("%(host)s does not speak TLS on this port. Does the URL begin with http://?") % at
            )
        if isinstance(cause, socket.gaierror):
            return Failure("dns", _("No server is known by the name %(host)s. Check the spelling.") % at)
        if isinstance(cause, ConnectionRefusedError):
            return Failure(
                "refused", _("Nothing listens at %(host)s. Is the server running, and the port right?") % at
            )
    if isinstance(error, httpx.ConnectError):
        return Failure("unreachable", _("%(host)s cannot be reached from here.") % at)
    return Failure("broken", _("%(host)s broke off the connection, or does not speak HTTP.") % at)


def of_answer(status: int, headers: httpx.Headers, body: bytes, key: str, url: str) -> Failure | None:
    """None for an answer that may be read as the API's own."""
    if 300 <= status < 400:
        target = urlsplit(headers.get("location", "")[:_LONGEST_URL]).hostname or _("another page")
        return Failure(
            "redirect",
            _("The server redirects to %(target)s. Redirects are not followed: enter the final address as base URL.")
            % {"target": target},
        )
    if "html" in headers.get("content-type", "") or body[:64].lstrip().lower().startswith((b"<!doctype", b"<html")):
        return Failure(
            "html", _("A web page answered at %(url)s, no API. The base URL often ends in /v1.") % {"url": url}
        )
    return of_status(status, quote(body, key), key, url) if status >= 400 else None


def of_status(status: int, said: str, key: str, url: str) -> Failure:
    facts = {"status": status, "said": said, "url": url}
    if status in (401, 403) and not key:
        return Failure("key_missing", _("The server asks for a key (%(status)d). Add one.") % facts)
    if status in (401, 403):
        return Failure(
            "key_refused",
            _("The key was refused (%(status)d). Check that it was copied whole and is still active.") % facts,
        )
    if status in (402, 429):
        return Failure(
            "limited",
            _("The key works, but its account has no credit left or has reached a limit (%(status)d): %(said)s.")
            % facts,
        )
    if status == 404:
        return Failure(
            "not_found", _("Not found at %(url)s: %(said)s. Check the base URL and the model's name.") % facts
        )
    if status >= 500:
        return Failure("server_error", _("The server failed (%(status)d): %(said)s. Try again later.") % facts)
    return Failure("rejected", _("The server rejected the request (%(status)d): %(said)s.") % facts)


def quote(body: bytes, key: str) -> str:
    """The message inside an error's body, short, on one line and without the key."""
    text = _message(body) or body[:2000].decode(errors="replace")
    cleaned = " ".join(text.replace(key, "…").split() if key else text.split())
    short = cleaned if len(cleaned) <= _LONGEST_QUOTE else cleaned[:_LONGEST_QUOTE] + "…"
    return short.rstrip(". ") or _("no explanation")


def _message(body: bytes) -> str:
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]  # Gemini wraps its error in a list
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    message = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    return message if isinstance(message, str) else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _why(error: ssl.SSLCertVerificationError) -> dict[str, str]:
    return {"why": error.verify_message}
