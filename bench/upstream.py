"""A mock OpenAI upstream whose answers are baked beforehand, so that it is never what is measured.

    python -m bench.upstream [--port 0]      prints {"port": N} once it listens

POST */chat/completions answers a whole completion; with `"stream": true` 100 chunks back to back, each in
a write of its own as a model server does it; with `bench-paced` anywhere in the body one chunk every
10 ms. GET */models lists the one model. It honours `stream_options.include_usage`. `bench-broken` and
`bench-truncated` ask for bad answers.

Requests on one connection must not be pipelined (no HTTP client of the gateways does that).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re

import httptools
import uvloop

from bench import answers

_STREAM = re.compile(rb'"stream"\s*:\s*true')
_INCLUDE_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_LAST_CHUNK = b"0\r\n\r\n"

_COMPLETION = answers.http("200 OK", answers.completion())
_MODELS = answers.http("200 OK", answers.models())
_HEALTH = answers.http("200 OK", b'{"status":"ok"}')
_NOT_FOUND = answers.http("404 Not Found", b'{"error":{"message":"not found"}}')
_BROKEN = answers.http("500 Internal Server Error", b'{"error":{"message":"broken on purpose"}}')

# Indexed by include_usage. A paced stream ends with finish, usage and [DONE] in its last write.
_EVENTS = {asked: [answers.http_chunk(event) for event in answers.events(asked)] for asked in (False, True)}
_WRITES = {asked: [_STREAM_HEAD, *events, _LAST_CHUNK] for asked, events in _EVENTS.items()}
_ENDING = {asked: b"".join(events[answers.CHUNKS :]) + _LAST_CHUNK for asked, events in _EVENTS.items()}


class Upstream(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._path = b""
        self._body: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    # The parser calls these.
    def on_message_begin(self) -> None:
        self._path = b""
        self._body.clear()

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        path = self._path.partition(b"?")[0]
        if path.endswith(b"/chat/completions"):
            self._complete(b"".join(self._body))
        elif path.endswith(b"/models"):
            self._transport.write(_MODELS)
        else:
            self._transport.write(_HEALTH if path == b"/health" else _NOT_FOUND)
        if not self._parser.should_keep_alive() and self._timer is None:
            self._transport.close()

    def _complete(self, body: bytes) -> None:
        streamed = _STREAM.search(body) is not None
        asked = _INCLUDE_USAGE.search(body) is not None
        if answers.BROKEN in body:
            self._transport.write(_BROKEN)
        elif answers.TRUNCATED in body:
            self._transport.write(b"".join(_WRITES[asked][:50]) if streamed else _COMPLETION[:-40])
            self._transport.close()
        elif not streamed:
            self._transport.write(_COMPLETION)
        elif answers.PACED in body:
            self._transport.write(_STREAM_HEAD)
            self._pace(0, asked, self._loop.time())
        else:
            self._write_each(_WRITES[asked])

    def _write_each(self, writes: list[bytes]) -> None:
        # uvloop gathers what is written in one turn of the loop into one system call, and the gateway would
        # then read 100 chunks as one. Nothing is buffered in the transport here: the last answer has gone.
        socket_fd = self._transport.get_extra_info("socket").fileno()
        for index, data in enumerate(writes):
            try:
                sent = os.write(socket_fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._transport.abort()
                return
            if sent < len(data):
                self._transport.write(data[sent:] + b"".join(writes[index + 1 :]))
                return

    def _pace(self, index: int, asked: bool, started_s: float) -> None:
        if index == answers.CHUNKS:
            self._timer = None
            self._transport.write(_ENDING[asked])
            if not self._parser.should_keep_alive():
                self._transport.close()
            return
        self._transport.write(_EVENTS[asked][index])
        # Counted from the start, so that a late timer does not slow the whole stream.
        due_s = started_s + (index + 1) * answers.CHUNK_INTERVAL_S
        self._timer = self._loop.call_at(due_s, self._pace, index + 1, asked, started_s)


async def listen(port: int = 0) -> tuple[asyncio.Server, int]:
    """Starts the upstream on 127.0.0.1 in the running loop. Returns the server and its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=1024)
    return server, server.sockets[0].getsockname()[1]


async def _serve(port: int) -> None:
    server, port = await listen(port)
    print(json.dumps({"port": port}), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    port = parser.parse_args().port
    try:
        uvloop.run(_serve(port))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
