"""The relay as another process uses it, over real sockets, and as strangers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import msgspec
import orjson
import pytest

from nodes.elsewhere import Elsewhere
from nodes.fleet import Fleet, Presence
from nodes.heartbeat import Heartbeat
from nodes.link import head_of
from nodes.relay import MOST_BODY_BYTES, Errand, Relay
from nodes.transport import TunnelTransport
from providers.failures import Kind, UpstreamFailure
from providers.targets import Target
from providers.transport import Deadlines, UpstreamRequest
from shareai_node.tunnel import frames
from shareai_node.tunnel.session import MAX_STREAMS
from tests.fakes.node import Exchange, FakeNode
from tests.nodes.tunnelling import SECRET, Console, colleague_of, serving
from tests.providers.test_transport_contract import at_node

DEADLINES = Deadlines()
ENOUGH = 1 << 26


def greeting(secret: str) -> bytes:
    return frames.encode_settings(orjson.dumps({"secret": secret}))


def errand(stream: int = 1, node: str = "node_1") -> bytes:
    request = head_of("/v1/chat/completions", (("content-type", "application/json"),))
    head = msgspec.json.encode(Errand(node, msgspec.Raw(request), 4, 1000))
    return frames.encode_head(stream, head, ended=True)


@asynccontextmanager
async def relaying() -> AsyncIterator[tuple[Console, FakeNode, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A relay with a node behind it, and a raw connection to it."""
    async with serving() as console, console.node() as node:
        await console.until_connected()
        relay = Relay(console.links, SECRET)
        await relay.start("127.0.0.1")
        host, _, port = relay.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield console, node, reader, writer
        finally:
            writer.close()
            relay.stop()


@asynccontextmanager
async def elsewhere() -> AsyncIterator[tuple[FakeNode, TunnelTransport]]:
    async with serving() as console, console.node() as node:
        await console.until_connected()
        async with colleague_of(console, "node_1") as transport:
            yield node, transport


def request(body: bytes = b"{}") -> UpstreamRequest:
    return UpstreamRequest("/chat/completions", (("content-type", "application/json"),), body)


def onward(body: bytes = b"{}") -> UpstreamRequest:
    """As it is when the transport has found that the node is not here."""
    return msgspec.structs.replace(request(body), path="/v1/chat/completions")


def _at(node: str) -> Target:
    return msgspec.structs.replace(at_node(node), slots=MAX_STREAMS)


NODE = _at("node_1")


class TestStrangers:
    @pytest.mark.parametrize(
        "said",
        [
            errand(),
            greeting("") + errand(),
            greeting("wrong") + errand(),
            greeting(SECRET[:-1]) + errand(),
            frames.encode_settings(b'{"secret": "\\ud800"}') + errand(),
            frames.encode_settings(b'{"secret": 1}') + errand(),
            frames.encode_settings(b"[]") + errand(),
            frames.encode_settings(b"\xff\xfe") + errand(),
            bytes(100),
        ],
    )
    async def test_they_are_hung_up_on(self, said: bytes) -> None:
        async with relaying() as (_, node, reader, writer):
            writer.write(said)
            assert await _all_of(reader) == b""
            assert not node.seen

    async def test_a_colleague_who_talks_nonsense_later_is_hung_up_on_too(self) -> None:
        async with relaying() as (_, node, reader, writer):
            writer.write(greeting(SECRET) + frames.encode_head(1, b'{"node": 3}', ended=True))
            assert await _all_of(reader) == b""
            assert not node.seen

    @pytest.mark.parametrize("said", [b"", b"POST /node_1/v1/chat/completions HTTP/1.1\r\nhost: relay\r\n\r\n"])
    async def test_whoever_says_nothing_whole_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, said: bytes
    ) -> None:
        monkeypatch.setattr("nodes.relay.WELCOME_S", 0.05)
        async with relaying() as (_, _, reader, writer):
            writer.write(said)
            assert await _all_of(reader) == b""


class TestPassingOn:
    async def test_frames_that_come_in_crumbs_are_put_together(self) -> None:
        async with relaying() as (_, node, reader, writer):
            node.answer_with(_echo)
            for byte in greeting(SECRET) + errand():
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                head = await reader.readexactly(frames.HEADER_BYTES)
            assert head[0] == frames.HEADERS

    async def test_more_than_one_connection_carries_at_once(self) -> None:
        """Each answer is there before any is let go on, so none can have waited for the place of another."""
        many = MAX_STREAMS + 44
        async with serving() as console, console.node("one") as one, console.node("two") as two:
            for node in (one, two):
                node.answer_with(_echo)
                await console.until_connected(node.node)
            async with colleague_of(console, "one", "two") as transport:
                targets = [_at("one") if number % 2 else _at("two") for number in range(many)]
                sending = (transport.send(target, request(b"%d" % n), DEADLINES) for n, target in enumerate(targets))
                async with asyncio.timeout(20):
                    answers = await asyncio.gather(*sending)
                    bodies = [await answer.read(ENOUGH) for answer in answers]
                assert bodies == [b"%d" % number for number in range(many)]

    async def test_a_body_larger_than_all_credit_goes_both_ways(self) -> None:
        body = bytes(range(256)) * 40_000
        async with elsewhere() as (node, transport):
            node.answer_with(_echo)
            async with asyncio.timeout(20):
                answer = await transport.send(NODE, request(body), DEADLINES)
                assert await answer.read(ENOUGH) == body

    async def test_a_body_without_measure_is_refused(self) -> None:
        async with elsewhere() as (node, transport):
            node.answer_with(_echo)
            with pytest.raises(UpstreamFailure) as caught:
                async with asyncio.timeout(20):
                    await transport.send(NODE, request(bytes(MOST_BODY_BYTES + 1)), DEADLINES)
            assert caught.value.kind is Kind.TOO_LARGE
            async with asyncio.timeout(5):
                answer = await transport.send(NODE, request(b"and on"), DEADLINES)
                assert await answer.read(ENOUGH) == b"and on"

    async def test_who_reads_nothing_holds_up_nobody_else(self) -> None:
        sent = 0

        async def pour(exchange: Exchange) -> None:
            nonlocal sent
            if await exchange.request() != b"much":
                await _echo(exchange)
                return
            await exchange.begin()
            while True:
                await exchange.send(bytes(16_384))
                sent += 16_384

        async with elsewhere() as (node, transport):
            node.answer_with(pour)
            unread = await transport.send(NODE, request(b"much"), DEADLINES)
            async with asyncio.timeout(10):
                for _ in range(50):
                    answer = await transport.send(NODE, request(b"little"), DEADLINES)
                    assert await answer.read(ENOUGH) == b"little"
                stood_still, before = False, sent
                while not stood_still:
                    await asyncio.sleep(0.1)
                    stood_still, before = sent == before, sent
            assert sent < 3 << 20
            unread.close()

    async def test_what_the_node_says_of_relays_is_not_believed(self) -> None:
        async def claim(exchange: Exchange) -> None:
            await exchange.begin(200, {"X-Relay-Failure": "connect_failure", "x-kept": "yes"})
            await exchange.send(b"ok", ended=True)

        async with elsewhere() as (node, transport):
            node.answer_with(claim)
            answer = await transport.send(NODE, request(), DEADLINES)
            assert (answer.status, answer.headers.get("x-kept")) == (200, "yes")
            assert "x-relay-failure" not in answer.headers
            assert await answer.read(ENOUGH) == b"ok"

    async def test_letting_go_stops_the_node(self) -> None:
        stopped = asyncio.Event()

        async def dawdle(exchange: Exchange) -> None:
            try:
                await exchange.begin()
                await asyncio.Event().wait()
            finally:
                stopped.set()

        async with elsewhere() as (node, transport):
            node.answer_with(dawdle)
            (await transport.send(NODE, request(), DEADLINES)).close()
            async with asyncio.timeout(5):
                await stopped.wait()

    async def test_a_node_that_is_not_there_is_told_in_words(self) -> None:
        async with serving() as console, colleague_of(console, "node_1") as transport:
            with pytest.raises(UpstreamFailure, match="not connected") as caught:
                await transport.send(NODE, request(), DEADLINES)
            assert caught.value.kind is Kind.CONNECT


class TestLosingTheRelay:
    async def test_what_was_under_way_is_lost_and_the_next_finds_its_way(self) -> None:
        async def dawdle(exchange: Exchange) -> None:
            await exchange.begin()
            await asyncio.Event().wait()

        async with serving() as console, console.node() as node:
            await console.until_connected()
            first, fleet = Relay(console.links, SECRET), Fleet()
            await first.start("127.0.0.1")
            port = int(first.address.rpartition(":")[2])
            fleet.note(Presence("node_1", generation=1, relay=first.address), monotonic())
            there = Elsewhere(fleet, SECRET)
            node.answer_with(dawdle)
            answer = await there.send(NODE, onward(), DEADLINES)
            first.stop()
            with pytest.raises(UpstreamFailure) as caught:
                await answer.next_chunk()
            assert caught.value.kind is Kind.RESET
            with pytest.raises(UpstreamFailure) as caught:
                await there.send(NODE, onward(), DEADLINES)
            assert caught.value.kind is Kind.CONNECT
            again = Relay(console.links, SECRET)
            await again.start("127.0.0.1", port)
            node.answer_with(_echo)
            assert await (await there.send(NODE, onward(b"back"), DEADLINES)).read(ENOUGH) == b"back"
            there.close()
            again.stop()

    async def test_a_frozen_process_is_noticed(self) -> None:
        """It takes connections, as the kernel does for a stopped process, and never says a word."""
        silent = await asyncio.start_server(lambda *_: None, "127.0.0.1")
        address = "{}:{}".format(*silent.sockets[0].getsockname())
        fleet = Fleet(Heartbeat(every_s=1, dead_after_s=0.5))
        fleet.note(Presence("node_1", generation=1, relay=address), monotonic(), lives_s=60)
        there = Elsewhere(fleet, SECRET)
        with pytest.raises(UpstreamFailure) as caught:
            async with asyncio.timeout(10):
                await there.send(NODE, onward(), DEADLINES)
        assert caught.value.kind is Kind.RESET
        there.close()
        silent.close()


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    """Whatever it says before it hangs up, politely or not."""
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionResetError:
        return b""


async def _echo(exchange: Exchange) -> None:
    body = await exchange.request()
    await exchange.begin()
    await exchange.send(body, ended=True)
