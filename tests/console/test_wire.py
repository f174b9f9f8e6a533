"""Heads of requests: whole ones are served, slow ones are let go, however they are cut."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from console.wire import PatientProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


class ImpatientProtocol(PatientProtocol):
    head_deadline_s = 0.3
    stall_s = 0.3


LARGE = b"x" * (32 << 20)
"""More than the kernel's buffers take."""


async def answers(scope, receive, send) -> None:
    if scope["path"] == "/large":
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(LARGE))]}
        )
        await send({"type": "http.response.body", "body": LARGE})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(answers, http=ImpatientProtocol, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def wire(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        yield wire


def test_a_whole_head_is_answered(wire):
    wire.sendall(REQUEST)
    assert wire.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_head_in_two_parts_is_answered(wire):
    wire.sendall(REQUEST[:20])
    time.sleep(0.05)
    wire.sendall(REQUEST[20:])
    assert wire.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_connection_that_says_nothing_is_closed(wire):
    assert wire.recv(1000) == b""


def test_half_a_head_is_closed(wire):
    wire.sendall(REQUEST[:20])
    assert wire.recv(1000) == b""


def test_a_second_request_is_bounded_as_well(wire):
    wire.sendall(REQUEST)
    assert wire.recv(1000).endswith(b"ok")
    wire.sendall(REQUEST[:20])
    assert wire.recv(1000) == b""


def test_a_slow_answer_is_no_slow_head(wire):
    """The deadline is the head's alone: it does not run while the connection idles between requests."""
    wire.sendall(REQUEST)
    assert wire.recv(1000).endswith(b"ok")
    time.sleep(0.5)
    wire.sendall(REQUEST)
    assert wire.recv(1000).endswith(b"ok")


def test_a_caller_who_does_not_read_is_let_go(wire):
    wire.sendall(REQUEST.replace(b"/ ", b"/large "))
    time.sleep(1)
    got = 0
    with contextlib.suppress(ConnectionError):
        while part := wire.recv(1 << 20):
            got += len(part)
    assert 0 < got < len(LARGE)


def test_one_who_reads_is_not_however_long_it_takes(wire):
    wire.sendall(REQUEST.replace(b"/ ", b"/large "))
    got = 0
    for _ in range(8):  # longer, in all, than one may pause
        time.sleep(0.1)
        got += len(wire.recv(1 << 20))
    while got < len(LARGE):
        part = wire.recv(1 << 20)
        assert part
        got += len(part)
