"""HTTP/1.1 towards an upstream, byte by byte: what ends a body, what spoils a connection, what is never sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from providers.dialer import Dialer
from providers.egress import AllowList
from providers.failures import Kind, UpstreamFailure
from providers.http1 import MOST_BYTES_WITHOUT_BODY, Connection, Origin
from providers.inflow import MOST_HELD_BYTES
from providers.transport import Deadlines, UpstreamRequest, UpstreamResponse
from providers.upstream import DirectTransport
from tests.providers.targets import target_at

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ASK = UpstreamRequest("/chat", (("Authorization", "Bearer k"),), b"{}")


class Upstream:
    """A TCP server that does what it is told with each connection, and keeps what it read."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.connections = 0
        self.port = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def upstream(serve: Serve) -> AsyncIterator[tuple[Upstream, Callable[..., Awaitable[UpstreamResponse]]]]:
    there = Upstream(serve)
    server = await asyncio.start_server(there.meet, "127.0.0.1", 0)
    there.port = server.sockets[0].getsockname()[1]
    transport = DirectTransport(Dialer(AllowList.parse(f"127.0.0.1:{there.port}")))

    async def ask(request: UpstreamRequest = ASK, base_url: str = "") -> UpstreamResponse:
        return await transport.send(target_at(base_url or f"http://127.0.0.1:{there.port}/v1"), request, Deadlines())

    try:
        yield there, ask
    finally:
        transport.close()
        server.close()
        await server.wait_closed()


def answering(*pieces: bytes, then_close: bool = False, seen: list[bytes] | None = None) -> Serve:
    """The same answer to each request, every piece in a write of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            if seen is not None:
                seen.append(head + body)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.002)
            if then_close:
                return

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:
            pass

    return quietly


async def failure_of(answer: Awaitable[UpstreamResponse]) -> UpstreamFailure:
    with pytest.raises(UpstreamFailure) as caught:
        await (await answer).read(1 << 24)
    return caught.value


class TestWhatIsSent:
    async def test_the_whole_request_in_one_form(self) -> None:
        seen: list[bytes] = []
        async with upstream(answering(OK, seen=seen)) as (there, ask):
            assert await (await ask()).read(10) == b"ok"
        assert seen == [
            b"POST /v1/chat HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}"
            % there.port
        ]

    @pytest.mark.parametrize("value", ["k\r\nX-Evil: 1", "k\nX-Evil: 1", "k\0", "k\x1b"])
    async def test_no_header_smuggles_another(self, value: str) -> None:
        async with upstream(answering(OK)) as (there, ask):
            failure = await failure_of(ask(UpstreamRequest("/chat", (("Authorization", value),), b"{}")))
            assert failure.kind is Kind.REFUSED_EGRESS
            assert there.connections == 0

    @pytest.mark.parametrize("path", ["/a b", "/a\r\nX: 1", "/a\0"])
    async def test_no_path_smuggles_a_header(self, path: str) -> None:
        async with upstream(answering(OK)) as (there, ask):
            assert (await failure_of(ask(UpstreamRequest(path, (), b"{}")))).kind is Kind.REFUSED_EGRESS
            assert there.connections == 0

    @pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///v1", "127.0.0.1:80", "http://127.0.0.1:99999/"])
    async def test_what_is_no_url_is_not_dialled(self, url: str) -> None:
        async with upstream(answering(OK)) as (_, ask):
            assert (await failure_of(ask(base_url=url))).kind is Kind.REFUSED_EGRESS


class TestWhatEndsABody:
    @pytest.mark.parametrize(
        "pieces",
        [
            (OK,),
            tuple(OK[index : index + 1] for index in range(len(OK))),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\no\r\n1\r\nk\r\n0\r\nX: 1\r\n\r\n",),
            (b"HTTP/1.1 100 Continue\r\n\r\n", OK),
            (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,),
        ],
        ids=["at once", "byte by byte", "chunks", "extension and trailer", "continue", "hints"],
    )
    async def test_its_length_or_its_last_chunk(self, pieces: tuple[bytes, ...]) -> None:
        async with upstream(answering(*pieces)) as (there, ask):
            for _ in range(3):
                response = await ask()
                assert (response.status, await response.read(10)) == (200, b"ok")
            assert there.connections == 1

    async def test_the_end_of_the_connection_where_neither_is_said(self) -> None:
        async with upstream(answering(b"HTTP/1.0 200 OK\r\n\r\no", b"k", then_close=True)) as (there, ask):
            for _ in range(2):
                assert await (await ask()).read(10) == b"ok"
            assert there.connections == 2

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"",
        ],
    )
    async def test_an_early_end_is_none(self, answer: bytes) -> None:
        async with upstream(answering(answer, then_close=True)) as (_, ask):
            assert (await failure_of(ask())).kind is Kind.RESET

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nxyz",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nok",
        ],
    )
    async def test_what_is_not_http_is_malformed(self, answer: bytes) -> None:
        async with upstream(answering(answer)) as (_, ask):
            assert (await failure_of(ask())).kind is Kind.MALFORMED

    @pytest.mark.parametrize(
        "start",
        [
            b"HTTP/1.1 200 OK\r\nX: ",
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: ",
        ],
        ids=["header", "headers", "extension", "trailer"],
    )
    async def test_endless_talk_around_a_body_is_cut_off(self, start: bytes) -> None:
        endless = [b"a" * 8192] * (MOST_BYTES_WITHOUT_BODY // 8192 + 2)
        async with upstream(answering(start, *endless)) as (_, ask):
            assert (await failure_of(ask())).kind is Kind.MALFORMED


class TestKeptConnections:
    @pytest.mark.parametrize("surplus", [b"x", OK, b"HTTP/1.1 200 OK\r\n"])
    async def test_one_with_a_surplus_carries_no_further_request(self, surplus: bytes) -> None:
        async with upstream(answering(OK + surplus)) as (there, ask):
            for asked in range(1, 4):
                assert await (await ask()).read(10) == b"ok"
                assert there.connections == asked

    async def test_one_that_says_so_is_closed(self) -> None:
        closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
        async with upstream(answering(closing)) as (there, ask):
            for asked in range(1, 3):
                assert await (await ask()).read(10) == b"ok"
                assert there.connections == asked

    async def test_a_request_lost_on_a_kept_one_is_sent_once_more(self) -> None:
        met = 0

        async def first_answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal met
            met += 1
            await reader.readuntil(b"{}")
            writer.write(OK)
            await reader.readuntil(b"{}")  # asked again, it goes without a word

        async with upstream(first_answers_once) as (there, ask):
            for _ in range(2):
                assert await (await ask()).read(10) == b"ok"
            assert there.connections == met == 2

    async def test_a_request_lost_on_a_fresh_one_is_not(self) -> None:
        async with upstream(answering(then_close=True)) as (there, ask):
            assert (await failure_of(ask())).kind is Kind.RESET
            assert there.connections == 1

    async def test_nor_one_to_which_something_was_said(self) -> None:
        met: list[int] = []

        async def second_breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            met.append(1)
            await reader.readuntil(b"{}")
            writer.write(OK)
            await reader.readuntil(b"{}")
            writer.write(OK[:9])

        async with upstream(second_breaks_off) as (_, ask):
            await (await ask()).read(10)
            assert (await failure_of(ask())).kind is Kind.RESET
            assert met == [1]

    async def test_the_rest_of_an_answer_that_was_done_with_keeps_its_connection(self) -> None:
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
        async with upstream(answering(chunked, b"0\r\n\r\n")) as (there, ask):
            for _ in range(3):
                response = await ask()
                assert await response.next_chunk() == b"ok"
                response.finish()
                await asyncio.sleep(0.05)
            assert there.connections == 1

    async def test_but_not_for_ever(self) -> None:
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
        left = asyncio.Event()

        async def never_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            writer.write(chunked)
            await reader.read()
            left.set()

        async with upstream(never_ends) as (_, ask):
            response = await ask()
            assert await response.next_chunk() == b"ok"
            response.finish()
            async with asyncio.timeout(5):
                await left.wait()


async def test_a_body_that_nobody_reads_is_held_back() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        while True:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    async with upstream(endless) as (_, ask):
        response = await ask()
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < MOST_HELD_BYTES + (16 << 20)  # what the kernel keeps on both sides comes on top
        assert len(await response.next_chunk()) >= MOST_HELD_BYTES
        response.close()


def test_what_came_unasked_before_the_turn_was_over_is_nobodys_answer() -> None:
    async def turn() -> None:
        here, there = socket.socketpair()
        made = Connection(Origin(False, "upstream", 80), lambda _: None)
        await asyncio.get_running_loop().create_connection(lambda: made, sock=here)
        made.idle_since = 1.0
        exchange = made.begin(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n", b"{}")
        there.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot yours")
        with pytest.raises(UpstreamFailure) as failed:
            await exchange.wait_for_head()
        assert (failed.value.kind, exchange.touched) == (Kind.RESET, False)  # so a fresh connection is owed
        with there:
            assert there.recv(100) == b""  # and the request was not sent

    uvloop.run(turn())
