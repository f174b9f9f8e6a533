"""The direct transport: HTTP/1.1 to an upstream, through the guarded dialer, on connections that are kept."""

from __future__ import annotations

import re
from functools import lru_cache

from yarl import URL

from providers.egress import EgressRefused
from providers.failures import Kind, UpstreamFailure
from providers.http1 import Connection, Exchange, Origin
from providers.pool import Dialer, Pool
from providers.targets import Target
from providers.transport import Deadlines, Transport, UpstreamRequest, UpstreamResponse

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class DirectTransport(Transport):
    """Owns the connections of a process. Make it inside the running loop; `close` at the end."""

    def __init__(self, dialer: Dialer) -> None:
        self._pool = Pool(dialer)

    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        origin, start = _where(target.base_url, request.path)
        head = start + _lines(request.headers) + b"Content-Length: %d\r\n\r\n" % len(request.body)
        if (kept := self._pool.find_idle(origin)) is not None:
            exchange = kept.begin(head, request.body)
            try:
                return await _answered(exchange)
            except UpstreamFailure as failure:
                # The upstream closed a connection that had been idle, as it may: nothing was answered on it, so
                # one fresh connection is owed before this counts as a failure of the target.
                if failure.kind is not Kind.RESET or exchange.touched:
                    raise
        return await _answered((await self._fresh(origin, deadlines.connect_s)).begin(head, request.body))

    async def _fresh(self, origin: Origin, within_s: float) -> Connection:
        try:
            return await self._pool.fresh(origin, within_s)
        except EgressRefused as refused:
            raise UpstreamFailure(Kind.REFUSED_EGRESS, str(refused)) from refused

    def close(self) -> None:
        self._pool.close()


async def _answered(exchange: Exchange) -> Exchange:
    try:
        await exchange.wait_for_head()
    except BaseException:
        exchange.close()
        raise
    return exchange


@lru_cache(maxsize=4096)
def _where(base_url: str, path: str) -> tuple[Origin, bytes]:
    """Whom to dial, and how the request begins.

    Raises: UpstreamFailure: no URL that can be dialled.
    """
    try:
        url = URL(base_url.rstrip("/") + path, encoded=True)
        host, port, target = url.raw_host, url.port, url.raw_path_qs
        if url.scheme not in _DEFAULT_PORTS or not host or not port or _UNFIT.search(target) or " " in target:
            raise ValueError
        authority = f"[{host}]" if ":" in host else host
        if port != _DEFAULT_PORTS[url.scheme]:
            authority += f":{port}"
        start = f"POST {target} HTTP/1.1\r\nHost: {authority}\r\n".encode("ascii")
    except ValueError as error:
        raise UpstreamFailure(Kind.REFUSED_EGRESS, "no URL that can be dialled") from error
    return Origin(url.scheme == "https", host, port), start


def _lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers]
    for line in lines:
        if not line.isprintable() and _UNFIT.search(line):
            raise UpstreamFailure(Kind.REFUSED_EGRESS, "a header that cannot be sent")
    lines.append("")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")
