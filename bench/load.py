"""The load: N keep-alive connections, a fixed number of requests, and every answer checked to be whole.

It ends by itself: an answer that does not come counts as failed after `timeout_s`, and so does each
request that finds no connection.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httptools
import uvloop

Check = Callable[[int, bytes], str | None]
"""Status and body to what is wrong with them, or None."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What is sent, where to, and what counts as a whole answer."""

    host: str
    port: int
    request: bytes
    check: Check


@dataclass(frozen=True, slots=True)
class Load:
    """What one run saw. Latencies are those of whole answers alone."""

    requests: int
    failed: int
    elapsed_s: float
    latencies_s: list[float]
    faults: Counter[str]

    @property
    def rps(self) -> float:
        return (self.requests - self.failed) / self.elapsed_s

    def percentile_ms(self, share: float) -> float:
        if not self.latencies_s:
            return 0.0
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def post(host: str, port: int, path: str, body: object, headers: Mapping[str, str]) -> bytes:
    """One whole HTTP/1.1 request as bytes."""
    payload = json.dumps(body, separators=(",", ":")).encode()
    head = {
        "Host": f"{host}:{port}",
        "Content-Type": "application/json",
        "Accept": "*/*",
        **headers,
        "Content-Length": str(len(payload)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + payload


@dataclass(slots=True)
class _Tally:
    """What the connections of one run share."""

    aim: Aim
    wanted: int
    timeout_s: float
    taken: int = 0
    last_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    def take(self) -> bool:
        """Claims one request of those left."""
        if self.taken == self.wanted:
            return False
        self.taken += 1
        return True

    def record(self, latency_s: float, fault: str | None) -> None:
        self.last_s = time.perf_counter()
        if fault is None:
            self.latencies_s.append(latency_s)
        else:
            self.faults[fault] += 1


class _Connection(asyncio.Protocol):
    """Sends one request after the other; opens itself anew when the gateway closes."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self.sent_s: float | None = None  # None: nothing is in flight
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send()

    def _send(self) -> None:
        if not self._tally.take():
            self.transport.close()
            return
        self._body.clear()
        self.sent_s = time.perf_counter()
        self.transport.write(self._tally.aim.request)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.give_up("not HTTP")

    # The parser calls these two.
    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self.sent_s is None:
            self.transport.abort()
            return
        latency_s = time.perf_counter() - self.sent_s
        self.sent_s = None
        fault = self._tally.aim.check(self._parser.get_status_code(), b"".join(self._body))
        self._tally.record(latency_s, fault)
        if self._parser.should_keep_alive():
            self._send()
        else:
            self.transport.close()

    def give_up(self, fault: str) -> None:
        """Counts what is in flight as failed and closes."""
        if self.sent_s is not None:
            self.sent_s = None
            self._tally.record(0.0, fault)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.sent_s is not None:
            self.sent_s = None
            self._tally.record(0.0, "closed before the answer was whole")
        self.lost.set_result(None)


async def _drive(tally: _Tally) -> None:
    """Keeps one connection open until every request has been taken."""
    loop = asyncio.get_running_loop()
    while tally.taken < tally.wanted:
        try:
            _, connection = await loop.create_connection(lambda: _Connection(tally), tally.aim.host, tally.aim.port)
        except OSError as error:
            if tally.take():
                tally.record(0.0, f"no connection: {error.strerror}")
            await asyncio.sleep(0.01)
            continue
        await _watch(connection, tally.timeout_s)


async def _watch(connection: _Connection, timeout_s: float) -> None:
    """Waits for the connection's end; gives up on an answer that takes too long."""
    while True:
        done, _ = await asyncio.wait([connection.lost], timeout=min(timeout_s / 4, 5.0))
        if done:
            return
        if connection.sent_s is not None and time.perf_counter() - connection.sent_s > timeout_s:
            connection.give_up(f"no whole answer in {timeout_s:g} s")


async def send(aim: Aim, requests: int, connections: int = 16, timeout_s: float = 60.0) -> Load:
    """Sends the requests and waits until each one is answered or has failed."""
    tally = _Tally(aim, requests, timeout_s)
    started_s = time.perf_counter()
    await asyncio.gather(*(_drive(tally) for _ in range(min(connections, requests))))
    elapsed_s = tally.last_s - started_s
    return Load(requests, tally.faults.total(), elapsed_s, tally.latencies_s, tally.faults)


def run(aim: Aim, requests: int, connections: int = 16, timeout_s: float = 60.0) -> Load:
    """`send` in a loop of its own."""
    return uvloop.run(send(aim, requests, connections, timeout_s))
