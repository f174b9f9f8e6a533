"""The direct transport: HTTP to an upstream by aiohttp, through the egress guard's connector.

aiohttp carries this because it costs a twentieth of httpx per call. Its exceptions end here: everything that
can go wrong leaves as an `UpstreamFailure`.
"""

from __future__ import annotations

import asyncio
import errno
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

import aiohttp
from yarl import URL

from providers.egress import EgressRefused
from providers.failures import Kind, UpstreamFailure
from providers.targets import Target
from providers.transport import Deadlines, Transport, UpstreamRequest, UpstreamResponse

_CLOSED_WHILE_IDLE = (errno.ECONNRESET, errno.EPIPE)
_MAX_INFLATION = 100
"""A compressed answer may grow by this factor; beyond it is an attack or a fault."""


@lru_cache(maxsize=4096)
def _url(base_url: str, path: str) -> URL:
    return URL(base_url.rstrip("/") + path, encoded=True)


@lru_cache(maxsize=256)
def _timeout(deadlines: Deadlines) -> aiohttp.ClientTimeout:
    # No read timeout: aiohttp would set a timer for each chunk. The failover loop bounds the first byte, the
    # sweep over requests in flight the silence after it.
    return aiohttp.ClientTimeout(total=None, sock_connect=deadlines.connect_s * 2)


def translated(error: Exception) -> UpstreamFailure:
    """The failure behind an exception of aiohttp or of the operating system."""
    match error:
        case EgressRefused():
            return UpstreamFailure(Kind.REFUSED_EGRESS, str(error))
        case aiohttp.InvalidURL():
            return UpstreamFailure(Kind.REFUSED_EGRESS, "no URL that can be dialled")
        case aiohttp.ClientConnectorDNSError():
            return UpstreamFailure(Kind.DNS, "the name does not resolve")
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError():
            return UpstreamFailure(Kind.TLS, "the TLS handshake failed")
        case aiohttp.ConnectionTimeoutError():
            return UpstreamFailure(Kind.CONNECT, "no connection in time")
        case TimeoutError():
            return UpstreamFailure(Kind.IDLE_TIMEOUT, "silent for too long")
        case aiohttp.ClientConnectorError():
            return UpstreamFailure(Kind.CONNECT, error.os_error.strerror or "no connection")
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | ConnectionError() | RuntimeError():
            return UpstreamFailure(Kind.RESET, "the connection was lost")
        case aiohttp.ClientOSError():
            return UpstreamFailure(Kind.RESET, error.strerror or "the connection was lost")
    return UpstreamFailure(Kind.MALFORMED, f"no valid HTTP answer ({type(error).__name__})")


class _Body(Protocol):
    """Turns the bytes of the wire into those of the body."""

    def feed(self, data: bytes) -> bytes: ...


class _Inflater:
    """Inflates a body whose upstream compressed it although it was asked not to; bounded."""

    def __init__(self, encoding: str) -> None:
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32 if encoding == "gzip" else zlib.MAX_WBITS)
        self._taken = self._given = 0

    def feed(self, data: bytes) -> bytes:
        self._taken += len(data)
        room = self._taken * _MAX_INFLATION - self._given
        try:
            inflated = self._inflate.decompress(data, max(room, 1))
        except zlib.error as error:
            raise UpstreamFailure(Kind.MALFORMED, "a compressed body that does not inflate") from error
        self._given += len(inflated)
        if self._inflate.unconsumed_tail:
            raise UpstreamFailure(Kind.TOO_LARGE, "a compressed body that grows beyond bounds")
        return inflated


def _inflater(encoding: str | None) -> _Body | None:
    if encoding is None or encoding == "identity":
        return None
    if encoding in ("gzip", "deflate"):
        return _Inflater(encoding)
    raise UpstreamFailure(Kind.MALFORMED, "a content encoding that was not asked for")


def _closed_future(response: aiohttp.ClientResponse) -> asyncio.Future[None] | None:
    """Done when the response's connection is lost; None when its body is here already."""
    connection = response.connection
    if connection is None or connection.protocol is None:
        return None
    return connection.protocol.closed


class DirectResponse(UpstreamResponse):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._body = _inflater(response.headers.get("Content-Encoding"))
        self._gone = _closed_future(response)
        if self._gone is not None:
            self._gone.add_done_callback(self._connection_gone)

    def _connection_gone(self, gone: asyncio.Future[None]) -> None:
        """aiohttp closes a connection whose framing is wrong without telling the reader, which would wait on."""
        if not gone.cancelled():
            gone.exception()  # seen, else asyncio complains that nobody looked
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection was closed"))

    async def read(self, limit_bytes: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while chunk := await self.next_chunk():
            size += len(chunk)
            if size > limit_bytes:
                raise UpstreamFailure(Kind.TOO_LARGE, f"more than {limit_bytes} bytes")
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def next_chunk(self) -> bytes:
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError) as error:
            # A plain RuntimeError is how aiohttp's reader says that its connection went away under it.
            raise translated(error) from error
        if self._body is not None and chunk:
            # An empty result of a non-empty read would look like the end.
            return self._body.feed(chunk) or await self.next_chunk()
        return chunk

    def close(self) -> None:
        if self._gone is not None:
            self._gone.remove_done_callback(self._connection_gone)
        self._response.close()


class DirectTransport(Transport):
    """Owns the one aiohttp session of a process. Make it inside the running loop; `aclose` at the end."""

    def __init__(self, connector: aiohttp.BaseConnector) -> None:
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=256 * 1024,
        )

    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        try:
            return await self._send(target, request, deadlines)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError):
            # A pooled connection that the upstream closed while it was idle: nothing was answered on it, so
            # one fresh connection is owed before this counts as a failure of the target.
            pass
        except aiohttp.ClientOSError as error:
            if error.errno not in _CLOSED_WHILE_IDLE or isinstance(error, aiohttp.ClientConnectorError):
                raise translated(error) from error
        except (aiohttp.ClientError, OSError, TimeoutError, EgressRefused, ValueError) as error:
            raise translated(error) from error
        try:
            return await self._send(target, request, deadlines)
        except (aiohttp.ClientError, OSError, TimeoutError, EgressRefused, ValueError) as error:
            raise translated(error) from error

    async def _send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> DirectResponse:
        response = await self._session.post(
            _url(target.base_url, request.path),
            data=request.body,
            headers=request.headers,
            allow_redirects=False,
            timeout=_timeout(deadlines),
        )
        try:
            return DirectResponse(response)
        except UpstreamFailure:
            response.close()
            raise

    async def aclose(self) -> None:
        await self._session.close()
        await asyncio.sleep(0)
