"""Heads of requests: whole ones are served, slow ones are let go, however they are cut."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from common.together import of_running_loop
from console.wire import MOST_FIELDS, MOST_HEAD_BYTES, PatientProtocol
from routing.flights import WRITER

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


class ImpatientProtocol(PatientProtocol):
    head_deadline_s = 0.3
    stall_s = 0.3

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.access_log = False  # as it is served; pytest gives a handler to every logger


LARGE = b"x" * (32 << 20)
"""More than the kernel's buffers take."""

CALLERS: list[socket.socket] = []
HEARD_BEFORE: list[bool] = []
"""Of each of `CALLERS`, whether it had heard something when the turn's end was reached."""


def look_at_callers() -> None:
    for caller in CALLERS:
        HEARD_BEFORE.append(bool(select.select([caller], [], [], 0)[0]))


async def answers(scope, receive, send) -> None:
    headers = [(b"content-length", b"2"), (b"x-said", scope["query_string"].replace(b"%0A", b"\n"))]
    headers += [(b"x-caller", scope["client"][0].encode()), (b"x-scheme", scope["scheme"].encode())]
    if scope["path"] == "/recorded":
        body = LARGE if scope["query_string"] == b"large" else b"ok"
        of_running_loop().first(look_at_callers)
        if scope["extensions"][WRITER].answer(200, [(b"content-length", b"%d" % len(body))], body):
            return
        raise AssertionError("not answered at once")
    if scope["path"] == "/whole" and scope["extensions"][WRITER].answer(200, headers, b"ok"):
        return
    if scope["path"] == "/last" and (writer := scope["extensions"][WRITER]).answer(200, headers, b"ok"):
        writer._cycle.transport.get_protocol().shutdown()
        return
    while scope["path"] == "/patient" and (await receive()).get("more_body"):
        pass
    if scope["path"] == "/still":
        time.sleep(2 * ImpatientProtocol.head_deadline_s)  # as if the process were suspended
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
        config = uvicorn.Config(
            answers, http=ImpatientProtocol, log_level="error", lifespan="off", timeout_keep_alive=60
        )
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


def test_what_came_while_the_process_stood_still_is_answered(port, wire):
    time.sleep(0.05)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as other:
        other.sendall(REQUEST.replace(b"/ ", b"/still "))
        time.sleep(0.1)
        wire.sendall(REQUEST)
        assert other.recv(1000).startswith(b"HTTP/1.1 200")
    assert wire.recv(1000).startswith(b"HTTP/1.1 200")


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


def test_a_whole_answer_is_one_write_and_the_next_request_is_served(wire):
    for _ in range(2):
        wire.sendall(REQUEST.replace(b"/ ", b"/whole?a ", 1))
        answer = wire.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
        assert b"\r\nx-said: a\r\n" in answer
        assert answer.endswith(b"\r\n\r\nok")


def test_nobody_is_believed_another_address(wire):
    claims = b"X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\n\r\n"
    wire.sendall(REQUEST.replace(b"/ ", b"/whole?a ", 1).replace(b"\r\n\r\n", b"\r\n" + claims))
    answer = wire.recv(1000)
    assert b"x-caller: 127.0.0.1\r\nx-scheme: http\r\n" in answer


@pytest.mark.parametrize("second", [b"/whole?second ", b"/?second "], ids=["both at once", "one the long way"])
def test_two_requests_in_one_piece_are_answered_in_their_order(wire, second):
    wire.sendall(REQUEST.replace(b"/ ", b"/whole?first ", 1) + REQUEST.replace(b"/ ", second, 1))
    got = b""
    while got.count(b"ok") < 2:
        part = wire.recv(1000)
        assert part
        got += part
    first, _, rest = got.partition(b"ok")
    assert b"x-said: first" in first
    assert (b"x-said: second" in rest) == (b"whole" in second)


def test_what_was_answered_just_before_the_server_stops_arrives(wire):
    wire.sendall(REQUEST.replace(b"/ ", b"/last?a ", 1))
    got = b""
    while part := wire.recv(1000):
        got += part
    assert got.endswith(b"ok")


def test_who_asked_for_the_end_of_the_connection_gets_it(wire):
    wire.sendall(REQUEST.replace(b"/ ", b"/whole?a ", 1).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    got = b""
    while part := wire.recv(1000):
        got += part
    assert b"\r\nconnection: close\r\n" in got
    assert got.endswith(b"ok")


@pytest.mark.parametrize(
    ("query", "field"),
    [(b"", b""), (b"large", b""), (b"", b"Connection: close\r\n")],
    ids=["joined", "too large to be joined", "the last of its connection"],
)
def test_whatever_way_a_whole_answer_takes_it_is_recorded_first(wire, monkeypatch, query, field):
    monkeypatch.setattr(sys.modules[__name__], "CALLERS", [wire])
    HEARD_BEFORE.clear()
    head = REQUEST.replace(b"/ ", b"/recorded?" + query + b" ", 1).replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n")
    wire.sendall(head)
    assert wire.recv(1000).startswith(b"HTTP/1.1 200")
    assert HEARD_BEFORE == [False]


def test_no_value_becomes_a_second_header(wire):
    wire.sendall(REQUEST.replace(b"/ ", b"/whole?a%0Ax-forged:1 ", 1))
    answer = wire.recv(1000)
    assert answer.startswith(b"HTTP/1.1 200")  # by the long way, without the value
    assert b"forged" not in answer


def test_a_head_alone_is_answered_without_a_body(wire):
    wire.sendall(REQUEST.replace(b"GET / ", b"HEAD /whole?a ", 1))
    assert wire.recv(1000).endswith(b"\r\n\r\n")


def test_a_head_that_does_not_end_is_refused_before_it_fills_the_memory(wire):
    wire.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nX-Long: ")
    for _ in range(MOST_HEAD_BYTES // 8192):
        wire.sendall(b"a" * 8192)
        time.sleep(0.005)
    assert wire.recv(1000).startswith(b"HTTP/1.1 431 ")
    assert wire.recv(1000) == b""


def test_a_head_in_many_pieces_below_the_bound_is_answered(wire):
    wire.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n")
    for number in range(6):
        wire.sendall(b"X-%d: " % number + b"a" * 8000 + b"\r\n")
        time.sleep(0.01)
    wire.sendall(b"\r\n")
    assert wire.recv(1000).startswith(b"HTTP/1.1 200")


def test_trailers_without_end_are_not_gathered(wire):
    wire.sendall(b"POST /patient HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n")
    with pytest.raises(ConnectionError):
        _say_for_long(wire, b"a: b\r\n" * MOST_FIELDS)


def test_a_body_that_goes_on_after_its_answer_is_not_read_for_ever(wire):
    wire.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n")
    assert wire.recv(1000).endswith(b"ok")
    with pytest.raises(ConnectionError):
        _say_for_long(wire, b"a")


def _say_for_long(wire: socket.socket, word: bytes) -> None:
    for _ in range(400):
        wire.sendall(word)
        time.sleep(0.01)


def test_whoever_sends_a_body_that_was_not_read_is_served_again(wire):
    wire.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n01234")
    assert wire.recv(1000).endswith(b"ok")
    wire.sendall(b"56789" + REQUEST)
    assert wire.recv(1000).endswith(b"ok")


def test_who_waits_for_leave_to_send_a_body_and_is_answered_without_is_let_go(wire):
    head = b"POST /whole?a HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    wire.sendall(head)
    got = b""
    while part := wire.recv(1000):
        got += part
    assert got.startswith(b"HTTP/1.1 200")
    assert got.endswith(b"ok")
