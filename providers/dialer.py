"""The only dialer of addresses that tenants choose, and what it refuses.

    URL ──check_url──▶ origin      when it is saved: scheme, host, port, literal addresses
    name ──Names──▶ addresses      resolved once; one denied address refuses the name
    address ──socket factory──▶ socket       the last gate: whatever led here, a denied address gets no socket

The connection goes to the very address that was judged, TLS asks for the name. A name that does not resolve is
not dialled.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Protocol, TypeVar

import aiohappyeyeballs

from providers.addresses import Address
from providers.egress import AllowList, Guard, is_literal
from providers.failures import Kind, UpstreamFailure
from providers.http1 import Origin

DNS_TIMEOUT_S = 5.0
NAMES_LIVE_S = 10.0
HAPPY_EYEBALLS_DELAY_S = 0.25
"""RFC 8305, section 8."""
_MOST_NAMES = 4096

P = TypeVar("P", bound=asyncio.Protocol)


class Resolver(Protocol):
    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a name. Raises: OSError, UnicodeError: it has none."""


class SystemResolver:
    async def resolve(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        return list(dict.fromkeys(str(info[4][0]) for info in found))


class Names:
    """Judged addresses of names, kept for a few seconds; who asks for the same name at once waits for one answer."""

    def __init__(self, guard: Guard, resolver: Resolver, live_s: float = NAMES_LIVE_S) -> None:
        self._guard = guard
        self._resolver = resolver
        self._live_s = live_s
        self._known: dict[tuple[str, int], tuple[float, Sequence[str]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[Sequence[str]]] = {}

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Raises: EgressRefused: one of them is denied. UpstreamFailure: DNS."""
        name = (host, port)
        if known := self._known.get(name):
            if monotonic() - known[0] < self._live_s:
                return known[1]
            del self._known[name]
        if (asking := self._asking.get(name)) is None:
            asking = self._asking[name] = asyncio.ensure_future(self._judged(host, port))
            asking.add_done_callback(lambda _: self._asking.pop(name, None))
        # Whoever gives up does so for itself only.
        return await asyncio.shield(asking)

    async def _judged(self, host: str, port: int) -> Sequence[str]:
        try:
            async with asyncio.timeout(DNS_TIMEOUT_S):
                found = await self._resolver.resolve(host, port)
        except TimeoutError:
            raise UpstreamFailure(Kind.DNS, "the name did not resolve in time") from None
        except (OSError, UnicodeError) as error:
            raise UpstreamFailure(Kind.DNS, "the name does not resolve") from error
        if not found:
            raise UpstreamFailure(Kind.DNS, "the name has no address")
        for address in found:
            self._guard.refuse_denied(host, address, port)
        if len(self._known) >= _MOST_NAMES:
            self._known.clear()
        self._known[host, port] = (monotonic(), found)
        return found


class Dialer:
    """Dials what the law allows and nothing else.

    Args:
        resolver: whose answers are judged; the operating system's unless given.
        tls: with what upstreams prove their name; the system's store of certificates unless given.
    """

    def __init__(
        self,
        allow: AllowList,
        *,
        resolver: Resolver | None = None,
        is_own: Callable[[Address], bool] | None = None,
        tls: ssl.SSLContext | None = None,
        names_live_s: float = NAMES_LIVE_S,
    ) -> None:
        self._guard = Guard(allow, is_own)
        self._names = Names(self._guard, resolver or SystemResolver(), names_live_s)
        self._tls = tls or ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])

    async def dial(self, origin: Origin, make: Callable[[], P], within_s: float) -> P:
        """A connected protocol.

        Args: within_s: for TCP, and once more for TLS.
        Raises: EgressRefused; UpstreamFailure: DNS, CONNECT, TLS.
        """
        host = origin.host
        addresses = [host] if is_literal(host) else await self._names.addresses(host, origin.port)
        connected = await self._connect(host, addresses, origin.port, within_s)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return await self._adopt(connected, origin, make, within_s)
        except BaseException:
            connected.close()
            raise

    async def _connect(self, host: str, addresses: Sequence[str], port: int, within_s: float) -> socket.socket:
        def guarded_socket(info: Any) -> socket.socket:
            family, kind, protocol, _, (address, at_port, *_) = info
            self._guard.refuse_denied(host, address, at_port)
            return socket.socket(family, kind, protocol)

        try:
            async with asyncio.timeout(within_s):
                return await aiohappyeyeballs.start_connection(
                    [_info(address, port) for address in addresses],
                    happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY_S,
                    interleave=1,
                    socket_factory=guarded_socket,
                )
        except TimeoutError:
            raise UpstreamFailure(Kind.CONNECT, "no connection in time") from None
        except OSError as error:
            raise UpstreamFailure(Kind.CONNECT, error.strerror or "no connection") from error

    async def _adopt(self, connected: socket.socket, origin: Origin, make: Callable[[], P], within_s: float) -> P:
        loop = asyncio.get_running_loop()
        if not origin.tls:
            return (await loop.create_connection(make, sock=connected))[1]
        try:
            async with asyncio.timeout(within_s):
                _, protocol = await loop.create_connection(
                    make, sock=connected, ssl=self._tls, server_hostname=origin.host.rstrip(".")
                )
        except TimeoutError:
            raise UpstreamFailure(Kind.CONNECT, "no connection in time") from None
        except OSError as error:  # ssl.SSLError is one
            raise UpstreamFailure(Kind.TLS, "the TLS handshake failed") from error
        return protocol


def _info(address: str, port: int) -> Any:
    """As `getaddrinfo` would say it of one address."""
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
