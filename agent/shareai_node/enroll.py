"""Enrolment: a token from the console's wizard becomes this machine's own identity there."""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

import httpx

from shareai_node import __version__, config, identity
from shareai_node.config import Config, Server
from shareai_node.console import client, refuse_plain_http, refuse_weaker_connection
from shareai_node.errors import AgentError, ConsoleUnreachable
from shareai_node.faults import NETWORK_ERRORS, explain
from shareai_node.places import Places

PATH = "/nodes/v1/enroll"
_TOKEN = re.compile(r"sai-node-[A-Za-z0-9_-]{8,200}")
_LONGEST_FILE = 4096
_SYSTEMS = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
_DO = {
    "token_unknown": "The console does not know this token. Copy it again from the console, whole.",
    "token_used": "This token was used before. Make a new one in the console (Nodes, Add a machine).",
    "token_expired": "This token has expired. Make a new one in the console (Nodes, Add a machine).",
    "proof_invalid": "The console knows itself by another address than {console}. Use the one its wizard shows.",
    "version_unsupported": f"The console does not speak with version {__version__} any more. Install the one it offers.",
    "too_many": "The console has seen too many tries from here. Wait a few minutes, then try again.",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Args:
        console: its origin.
        name: what the machine is to be called; None leaves it to the console.
        replace: give up a former enrolment of this machine.
    """

    console: str
    token: str
    name: str | None = None
    servers: tuple[Server, ...] = ()
    discover: bool = True
    replace: bool = False
    allow_http: bool = False

    def __repr__(self) -> str:
        return f"Wish({self.console!r})"


def enroll(where: Places, wish: Wish) -> Config:
    """Posts the token with a proof of the new key, and saves what the console answers.

    The key is saved first and kept until an answer arrives: the console answers a second try with the same token and
    key with the same node, so a lost answer costs nothing.

    Raises: AgentError: it says what to do.
    """
    former = config.find(where)
    if former is not None and not wish.replace:
        raise AgentError(
            f'This machine is enrolled at {former.console} as "{former.name}". Add --replace to give that up.'
        )
    refuse_plain_http(wish.console, wish.allow_http)
    pending = where.pending_key(wish.token)
    key = identity.find(pending) or identity.create(pending)
    enrolled = _understood(_post(wish, key), wish)
    os.replace(pending, where.key)
    config.save(where, enrolled)
    return enrolled


def token_of(text: str) -> str:
    """Raises: AgentError: it does not look like one. The message does not repeat it."""
    token = text.strip()
    if not token:
        raise AgentError("No token was given. Copy it from the console's wizard into a file, or pipe it in.")
    if not _TOKEN.fullmatch(token):
        raise AgentError("That is no enrolment token: one begins with sai-node-. Copy it again from the console.")
    return token


def read_token_file(path: str) -> str:
    """Raises: AgentError."""
    try:
        with open(path, encoding="utf-8") as file:
            return token_of(file.read(_LONGEST_FILE))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise AgentError(f"The token file {path} cannot be read: {why}. Check its path.") from error


def read_token_stream(stream: TextIO) -> str:
    """Raises: AgentError."""
    return token_of(stream.read(_LONGEST_FILE))


def _post(wish: Wish, key: identity.Identity) -> httpx.Response:
    url = wish.console + PATH
    try:
        with client() as http:
            return http.post(url, json=_request(wish, key))
    except NETWORK_ERRORS as error:
        raise ConsoleUnreachable(explain(error, url)) from error


def _request(wish: Wish, key: identity.Identity) -> dict[str, Any]:
    return {
        "token": wish.token,
        "public_key": key.public_text,
        "proof": key.enrollment_proof(wish.token, wish.console),
        "name": wish.name,
        "hostname": socket.gethostname()[:255],
        "os": _SYSTEMS.get(platform.system(), sys.platform),
        "os_version": _system_version()[:80],
        "arch": platform.machine().lower()[:40],
        "version": __version__,
        "sent_at": datetime.now(UTC).isoformat(),
    }


def _system_version() -> str:
    """What people call it: the distribution of Linux, the number of macOS or Windows."""
    try:
        named = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:  # not Linux, or one without that file
        named = platform.mac_ver()[0]
    return named or platform.release()


def _understood(answer: httpx.Response, wish: Wish) -> Config:
    if answer.status_code not in (200, 201):
        raise _refusal(answer, wish.console)
    said = _object(answer)
    try:
        enrolled = Config(
            console=wish.console,
            connect_url=str(said["connect_url"]),
            node=str(said["node"]),
            slug=str(said["slug"]),
            name=str(said["name"]),
            organization=str(said["organization"]),
            servers=wish.servers,
            discover=wish.discover,
        )
    except KeyError:
        raise AgentError(f"{wish.console} did not answer as a ShareAI console does. Check the address.") from None
    refuse_weaker_connection(wish.console, enrolled.connect_url)
    return enrolled


def _refusal(answer: httpx.Response, console: str) -> AgentError:
    error = _object(answer).get("error")
    error = error if isinstance(error, dict) else {}
    code, message = str(error.get("code")), " ".join(str(error.get("message") or "").split())[:300]
    if code == "clock_skew":
        return AgentError(
            f"This machine's clock is wrong. {message} Set the clock, then try again.".replace("  ", " ")
        )
    if code in _DO:
        return AgentError(_DO[code].format(console=console))
    if answer.is_redirect:
        return AgentError(f"{console} sends its visitors elsewhere. Use the address that the console's wizard shows.")
    if answer.status_code >= 500:
        return ConsoleUnreachable(f"{console} has a fault of its own ({answer.status_code}). Try again in a minute.")
    if not error or answer.status_code in (404, 405):
        return AgentError(
            f"{console} is no ShareAI console, or an older one ({answer.status_code}). Check the address."
        )
    return AgentError(f"The console refused ({answer.status_code}): {message or code}")


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
