"""HTTPS to the console: the system's trust store, the environment's proxies, no redirect, no cookie kept."""

from __future__ import annotations

import platform
import ssl
from urllib.parse import urlsplit

import httpx
import truststore

from shareai_node import __version__
from shareai_node.addresses import is_loopback_host
from shareai_node.errors import AgentError

USER_AGENT = f"shareai-node/{__version__} ({platform.system()})"
_TIMEOUT = httpx.Timeout(30, connect=10)


def tls_context() -> ssl.SSLContext:
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client() -> httpx.Client:
    return httpx.Client(
        verify=tls_context(), timeout=_TIMEOUT, follow_redirects=False, headers={"user-agent": USER_AGENT}
    )


def refuse_plain_http(origin: str, allowed: bool) -> None:
    """Prompts and answers travel there: in the clear only on one machine, or where the owner insists.

    Raises: AgentError.
    """
    parts = urlsplit(origin)
    if parts.scheme == "http" and not allowed and not is_loopback_host(parts.hostname or ""):
        raise AgentError(
            f"{origin} is not encrypted. Use its https:// address, "
            "or add --allow-http if the network between is yours alone."
        )


def refuse_weaker_connection(origin: str, connect_url: str) -> None:
    """A console reached over TLS may not send its node to a connection without.

    Raises: AgentError.
    """
    scheme = urlsplit(connect_url).scheme
    if scheme not in ("ws", "wss") or (origin.startswith("https:") and scheme != "wss"):
        raise AgentError(
            f"{origin} named {connect_url} for the connection, which is not encrypted. Tell its administrator."
        )
