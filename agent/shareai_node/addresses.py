"""URLs that the agent is given: the console's origin, and the base URLs of local model servers."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from shareai_node.errors import AgentError

_USUAL_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_METADATA = ipaddress.ip_network("169.254.0.0/16")
"""Clouds hand out credentials there; nobody serves a model from a link-local address."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def origin_of(url: str) -> str:
    """`scheme://host[:port]` in lower case, a usual port left out, of what somebody typed as the console's address.

    Raises: AgentError: it is no web address, or has a path, a query or a user in it.
    """
    parts = _split(url if "://" in url else f"https://{url}")
    if parts.scheme not in ("http", "https"):
        raise AgentError(f"{url} is not the address of a console. Write it as https://your-console.")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise AgentError(f"The console's address has more in it than a host. Write it as {_origin(parts)}.")
    return _origin(parts)


def server_url(url: str) -> str:
    """The base URL of a local model server, without a slash or `/v1` at its end.

    Raises: AgentError: it is no http(s) address, or has a query or a user in it.
    """
    parts = _split(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment or parts.username is not None:
        raise AgentError("A local server is named by its base URL alone, such as http://127.0.0.1:11434.")
    return _origin(parts) + parts.path.rstrip("/").removesuffix("/v1").rstrip("/")


def refuse_public(base_url: str) -> None:
    """Local servers are on this machine or in its own network; a name that leads elsewhere is refused.

    Raises: AgentError: the name does not resolve, or an address of it is public.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or _USUAL_PORTS[parts.scheme], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AgentError(f"{host} does not resolve to an address. Check the name in {base_url}.") from None
    for info in found:
        if not is_local(ipaddress.ip_address(str(info[4][0]).partition("%")[0])):
            raise AgentError(
                f"{host} is not on this machine or in its private network. "
                "Connect servers on the internet in the console, under Providers."
            )


def is_local(address: Address) -> bool:
    """Loopback, or an address that is not routed on the internet (private, unique local, shared by a carrier)."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return is_local(mapped)
    if address.is_loopback:
        return True
    refused = address.is_global or address.is_multicast or address.is_unspecified or address.is_reserved
    return not refused and not address.is_link_local and not (address.version == 4 and address in _METADATA)


def is_loopback_host(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        port_is_right = parts.port != 0
    except ValueError:
        port_is_right = False
    if not port_is_right or not parts.hostname or any(letter.isspace() for letter in url.strip()):
        raise AgentError("That is not a web address. Write it as https://host or https://host:port.")
    return parts


def _origin(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    usual = parts.port is None or parts.port == _USUAL_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{parts.port}"
