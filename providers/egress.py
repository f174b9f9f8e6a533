"""What may be dialled: the law over URLs that tenants enter and over the addresses that they lead to.

`providers.dialer` applies it to the data plane, `providers.guarded_http` to everything slower.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable
from functools import lru_cache

from yarl import URL

from common.errors import InvalidRequest
from providers.addresses import NOTHING, OWN, Address, check_address, is_never_dialled, parse_address
from providers.addresses import AllowList as AllowList

_MAX_URL_CHARS = 2048
_UNFIT_CHARS = re.compile(r"[\x00-\x20\x7f\\]")
_NUMBER_LIKE_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9_.-]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NOT_MINE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_ADDRESSES_OF_NOBODY = {4: "192.0.2.1", 6: "2001:db8::1"}  # for documentation; no host has them


class EgressRefused(InvalidRequest):
    """`address` is for the log; a message names an address only to those who gave it."""

    CODE = "egress_refused"
    MESSAGE = "This address is not one that ShareAI dials."

    def __init__(self, message: str = "", *, address: str = "") -> None:
        super().__init__(message)
        self.address = address


class Guard:
    """The law for one allow-list, the addresses of this very server included."""

    __slots__ = ("_allow", "_is_own")

    def __init__(self, allow: AllowList, is_own: Callable[[Address], bool] | None = None) -> None:
        self._allow = allow
        self._is_own = is_own or is_own_address

    def reason_against(self, address: str, port: int) -> str | None:
        if reason := check_address(address, port, self._allow):
            return reason
        judged = parse_address(address)
        return OWN if not self._allow.allows(judged, port) and self._is_own(judged) else None

    def refuse_denied(self, host: str, address: str, port: int) -> None:
        """Raises: EgressRefused: if `address`, to which `host` led, must not be dialled."""
        if reason := self.reason_against(address, port):
            raise EgressRefused(_sentence(host, address, port, reason), address=address)


def check_url(url: str, allow: AllowList = NOTHING) -> str:
    """The origin of a URL that may be saved: lower case, no default port, `https://api.example.com`.

    Names are not resolved here: that is done, and judged, at every dial.

    Raises: EgressRefused: with one sentence for whoever typed the URL.
    """
    parsed = _parse_url(url)
    host, port = (parsed.raw_host or "").rstrip("."), parsed.port or 0
    if not host or not port:
        raise EgressRefused("The URL needs a host, and a port other than 0.")
    if is_literal(host):
        Guard(allow).refuse_denied(host, host, port)
        host = str(parse_address(host))
    elif "[" in _authority(url) or not _NAME.fullmatch(host):
        raise EgressRefused("The URL's host is not a valid name.")
    elif _NUMBER_LIKE_LABEL.fullmatch(host.rpartition(".")[2]):
        raise EgressRefused("The URL's host is a number; write an IPv4 address as four decimal numbers.")
    bracketed = f"[{host}]" if ":" in host else host
    suffix = "" if port == _DEFAULT_PORTS[parsed.scheme] else f":{port}"
    return f"{parsed.scheme}://{bracketed}{suffix}"


def _parse_url(url: str) -> URL:
    if len(url) > _MAX_URL_CHARS or _UNFIT_CHARS.search(url):
        raise EgressRefused("The URL is too long, or has spaces, control characters or backslashes in it.")
    try:
        parsed = URL(url)
        parsed.port  # noqa: B018  (read lazily, and refused when it is no number)
    except ValueError:
        raise EgressRefused("This is not a valid URL.") from None
    if parsed.scheme not in _DEFAULT_PORTS:
        raise EgressRefused("The URL must begin with http:// or https://.")
    if "@" in _authority(url):
        raise EgressRefused("The URL must not hold a user name or password.")
    if parsed.raw_fragment or "#" in url:
        raise EgressRefused("The URL must not have a fragment (#).")
    return parsed


def _authority(url: str) -> str:
    """As it was typed; yarl drops an empty user name and odd brackets."""
    return re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]


def is_own_address(address: Address) -> bool:
    """True if this host delivers packets for `address` to itself, told by the kernel at this very moment."""
    if not _binds_anything(address.version):
        return _can_bind(str(address), address.version)
    return _routes_to_itself(str(address), address.version)


def _can_bind(address: str, version: int) -> bool:
    """Fails: closed; whatever else goes wrong, the address counts as this host's."""
    try:
        with socket.socket(_family(version), socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno not in _NOT_MINE
    return True


@lru_cache(maxsize=2)
def _binds_anything(version: int) -> bool:
    """True on hosts (net.ipv4.ip_nonlocal_bind, for failover addresses) where binding proves nothing."""
    return _can_bind(_ADDRESSES_OF_NOBODY[version], version)


def _routes_to_itself(address: str, version: int) -> bool:
    """Connecting UDP sends nothing: it only asks from which address the kernel would send."""
    try:
        with socket.socket(_family(version), socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return str(parse_address(probe.getsockname()[0])) == address
    except OSError:
        return False


def _family(version: int) -> socket.AddressFamily:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def is_literal(host: str) -> bool:
    try:
        parse_address(host)
    except ValueError:
        return False
    return True


def _sentence(host: str, address: str, port: int, reason: str) -> str:
    """What the caller typed may be repeated to him; what a name resolves to inside this network may not."""
    if not is_literal(host):
        way_out = f"the operator may list that address with port {port} in EGRESS_ALLOW"
        subject = f"{host} leads to {reason}"
    else:
        shown = f"[{address}]" if ":" in address else address
        way_out = f"the operator may allow it with EGRESS_ALLOW={shown}:{port}"
        subject = f"{address} is {reason}"
    if reason == "no IP address" or is_never_dialled(parse_address(address)):
        return f"{subject}, which is never dialled."
    return f"{subject}; {way_out}."
