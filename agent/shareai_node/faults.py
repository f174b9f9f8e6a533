"""Why the console could not be reached, said in one line with what to do about it.

The libraries wrap what happened (httpx in its own errors, websockets in none); the first known cause in the chain
counts. Used by enrolment, the doctor and the connection alike, so that one fault reads the same everywhere.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidProxyStatus, ProxyError

NETWORK_ERRORS = (OSError, httpx.HTTPError, httpx.InvalidURL, InvalidHandshake, InvalidProxy, EOFError)
"""What dialling the console may raise (TimeoutError and ssl.SSLError are OSErrors)."""

_NOT_YET_VALID, _EXPIRED, _NAME_MISMATCH = 9, 10, 62
"""OpenSSL's numbers for what is wrong with a certificate."""


def explain(error: BaseException, url: str) -> str:
    """
    Args: url: what was dialled.
    """
    place = urlsplit(url).netloc
    for cause in _chain(error):
        if said := _known(cause, place):
            return said
    what = " ".join(str(error).split()) or type(error).__name__
    return f"{place} could not be reached ({what[:160]}). Check the network, then try again."


def _known(cause: BaseException, place: str) -> str | None:
    if said := _of_proxy(cause, place) or _of_tls(cause, place):
        return said
    if isinstance(cause, socket.gaierror):
        return f"The name in {place} does not resolve. Check the address, and this machine's network."
    if isinstance(cause, ConnectionRefusedError):
        return f"Nothing listens at {place}. Check the address and that the console runs."
    if isinstance(cause, (TimeoutError, httpx.TimeoutException)):
        return f"{place} did not answer in time. Check the network and a firewall between here and there."
    if isinstance(cause, (ConnectionResetError, httpx.RemoteProtocolError)):
        return f"{place} broke the connection. If this goes on, a firewall or proxy may be in the way."
    return None


def _of_proxy(cause: BaseException, place: str) -> str | None:
    if isinstance(cause, InvalidProxyStatus):
        return f"The proxy refused to connect to {place} ({cause.response.status_code}). Ask for it to be allowed."
    if isinstance(cause, (httpx.ProxyError, ProxyError)):
        return f"The proxy refused to connect to {place}. Check HTTPS_PROXY and its user and password."
    if isinstance(cause, (InvalidProxy, ImportError)):
        return "HTTPS_PROXY cannot be used. Write it as http://host:port."
    return None


def _of_tls(cause: BaseException, place: str) -> str | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        code = getattr(cause, "verify_code", None)
        if code == _NOT_YET_VALID:
            return f"The certificate of {place} is not valid yet: this machine's clock is probably wrong. Set it."
        if code == _EXPIRED:
            return f"The certificate of {place} has expired, or this machine's clock is wrong. Check the clock first."
        if code == _NAME_MISMATCH:
            return f"The certificate of {place} is for another name. Use the console's own name as its address."
        return (
            f"This machine does not trust the certificate of {place}. "
            "Add your organisation's authority to the system's trust store, or set SSL_CERT_FILE to its file."
        )
    if isinstance(cause, ssl.SSLError):
        return f"{place} does not speak TLS as expected. Is it https at all, and is the port right?"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the deepest first: that is where the system said why."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return reversed(found)
