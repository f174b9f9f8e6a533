"""HTTP where speed is no matter, as for the test of a connection: httpx, behind the same law as the data plane.

Redirects, cookies and proxies of the environment are off. An answer is read up to a limit, and uncompressed.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

from providers.addresses import Address
from providers.egress import AllowList, EgressRefused, Guard

MAX_ANSWER_BYTES = 16 << 20
_TIMEOUT = httpx.Timeout(60, connect=5)


def guarded_httpx_client(
    allow: AllowList, *, is_own: Callable[[Address], bool] | None = None, **options: Any
) -> httpx.Client:
    """An `httpx.Client` whose every connection goes to an address the law allows.

    Args: options: of `httpx.Client`, those that would open a way around the law excepted.
    Raises: EgressRefused: from its calls, beside httpx's own errors.
    """
    if closed := options.keys() & {
        "transport",
        "mounts",
        "proxy",
        "trust_env",
        "follow_redirects",
        "cookies",
        "verify",
    }:
        raise TypeError(f"a guarded client takes no {', '.join(sorted(closed))}")
    headers = httpx.Headers({"Accept-Encoding": "identity"})
    headers.update(options.pop("headers", None))
    return httpx.Client(
        transport=_GuardedTransport(Guard(allow, is_own)),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers=headers,
        **{"timeout": _TIMEOUT, **options},
    )


class _GuardedBackend(httpcore.NetworkBackend):
    """Opens the connections of httpcore: resolves once, judges every address, dials what was judged."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._dial = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in self._judged_addresses(host, port):
            try:
                return self._dial.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def _judged_addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("the name does not resolve") from None
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        for address in addresses:
            self._guard.refuse_denied(host, address, port)
        return addresses

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise EgressRefused("Unix sockets are not dialled.")


@cache
def _trusted() -> ssl.SSLContext:
    """Made once: reading all authorities takes longer than most exchanges."""
    return httpx.create_ssl_context(trust_env=False)


class _GuardedTransport(httpx.BaseTransport):
    """httpx over httpcore's public interface, since httpx itself takes no network backend."""

    def __init__(self, guard: Guard) -> None:
        self._pool = httpcore.ConnectionPool(ssl_context=_trusted(), network_backend=_GuardedBackend(guard))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme not in ("http", "https") or url.userinfo:
            raise EgressRefused("Only http:// and https:// without user names are dialled.")
        outgoing = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.read(),
            extensions=request.extensions,
        )
        with _named_by_httpx(request):
            response = self._pool.handle_request(outgoing)
        return httpx.Response(
            response.status, headers=response.headers, stream=_BoundedBody(response, request), request=request
        )

    def close(self) -> None:
        self._pool.close()


class _BoundedBody(httpx.SyncByteStream):
    """The bytes of an answer as they come. Ends the connection when closed before the answer's end."""

    def __init__(self, response: httpcore.Response, request: httpx.Request) -> None:
        self._response, self._request = response, request

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        with _named_by_httpx(self._request):
            if any(
                name.lower() == b"content-encoding" and value != b"identity" for name, value in self._response.headers
            ):
                raise httpcore.RemoteProtocolError("the answer is compressed, which was not asked for")
            for part in self._response.iter_stream():
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise httpcore.RemoteProtocolError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
                yield part

    def close(self) -> None:
        self._response.close()


@contextmanager
def _named_by_httpx(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        # The two libraries name their errors alike, down to the leaves.
        raise getattr(httpx, type(error).__name__)(str(error), request=request) from error
