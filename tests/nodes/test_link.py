"""A node's connection under load and under attack: a real WebSocket, and a far end that does as it is told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from nodes.heartbeat import USUAL
from nodes.link import Link, head_of
from nodes.links import REMEMBERED_S
from nodes.wire import REVOKED
from providers.failures import Kind, UpstreamFailure
from shareai_node.tunnel import frames
from shareai_node.tunnel.errors import Code
from tests.fakes.node import Exchange, FakeNode
from tests.nodes.tunnelling import MANY_PINGS, Console, narrow, serving

HEAD = head_of("/v1/chat/completions", ())
MIB = 1 << 20


@pytest.fixture
async def console() -> AsyncIterator[Console]:
    async with serving() as console:
        yield console


@pytest.fixture
async def node(console: Console) -> AsyncIterator[FakeNode]:
    async with console.node() as node:
        await console.until_connected()
        yield node


@pytest.fixture
def link(console: Console, node: FakeNode) -> Link:
    return console.link()


async def failure_of(asking) -> Kind:
    with pytest.raises(UpstreamFailure) as caught:
        async with asyncio.timeout(10):
            await asking
    return caught.value.kind


async def echo(exchange: Exchange) -> None:
    body = await exchange.request()
    await exchange.begin()
    await exchange.send(body, ended=True)


async def never(exchange: Exchange) -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def asking(link, node) -> asyncio.Task[object]:
    """A request that the node has, and never answers."""
    node.answer_with(never)
    task = asyncio.create_task(link.ask(HEAD, b"{}", guest=False))
    await node.until(lambda: bool(node.seen))
    return task


class TestSizes:
    @pytest.mark.parametrize("size", [0, 1, 16 * 1024, 65_536, 256 * 1024, 256 * 1024 + 1, 10 * MIB])
    async def test_a_body_of_any_size_goes_and_comes_back(self, link, node, size):
        node.answer_with(echo)
        body = bytes(range(256)) * (size // 256) + bytes(size % 256)
        answer = await link.ask(HEAD, body, guest=False)
        assert await answer.read(11 * MIB) == body
        answer.close()

    async def test_an_answer_before_the_whole_request(self, link, node):
        """A machine that refuses need not read 10 MiB to say so."""

        async def refuse(exchange: Exchange) -> None:
            await exchange.begin(413)
            await exchange.send(b"too much", ended=True)

        node.answer_with(refuse)
        node.session.consumed = lambda stream, size: None  # it reads nothing
        answer = await link.ask(HEAD, bytes(10 * MIB), guest=False)
        assert answer.status == 413
        assert await answer.read(100) == b"too much"
        assert link.in_flight == 0

    async def test_headers_that_fit_no_frame(self, link):
        large = head_of("/v1/chat/completions", (("X-Large", "x" * 70_000),))
        assert await failure_of(link.ask(large, b"{}", guest=False)) is Kind.TOO_LARGE


class TestManyAtOnce:
    async def test_64_streams_of_different_speeds(self, link, node):
        """The slow ones are read by nobody until the others are done."""
        size = 2 * MIB

        async def much(exchange: Exchange) -> None:
            mark = await exchange.request()
            await exchange.begin()
            await exchange.send(mark * size, ended=True)

        node.answer_with(much)
        answers = [await link.ask(HEAD, bytes([number]), guest=False) for number in range(64)]
        slow, quick = answers[::2], answers[1::2]
        async with asyncio.timeout(30):
            for number, body in enumerate(await asyncio.gather(*[answer.read(size) for answer in quick])):
                assert body == bytes([2 * number + 1]) * size
            assert all(held(answer) <= 512 * 1024 for answer in slow)
            for number, body in enumerate(await asyncio.gather(*[answer.read(size) for answer in slow])):
                assert body == bytes([2 * number]) * size

    async def test_256_at_most(self, link, node):
        node.answer_with(never)
        asking = [asyncio.create_task(link.ask(HEAD, b"{}", guest=False)) for _ in range(256)]
        await node.until(lambda: len(node.seen) == 256)
        asking.append(asyncio.create_task(link.ask(HEAD, b"{}", guest=False)))
        await asyncio.sleep(0)
        assert (link.in_flight, len(node.seen)) == (257, 256)
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        assert link.in_flight == 0

    async def test_guests_are_counted_apart(self, link, node):
        node.answer_with(never)
        asking = [asyncio.create_task(link.ask(HEAD, b"{}", guest=number < 2)) for number in range(5)]
        await node.until(lambda: len(node.seen) == 5)
        assert (link.in_flight, link.guests_in_flight) == (5, 2)
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        assert (link.in_flight, link.guests_in_flight) == (0, 0)


def held(answer) -> int:
    return sum(map(len, answer._held)) + sum(map(len, answer._kept))


class TestRefusals:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (Code.LOCAL_UNREACHABLE, Kind.CONNECT),
            (Code.REFUSED_STREAM, Kind.BUSY),
            (Code.LOCAL_TIMEOUT, Kind.FIRST_BYTE_TIMEOUT),
            (Code.NOT_ALLOWED, Kind.REFUSED_EGRESS),
            (Code.INTERNAL_ERROR, Kind.RESET),
            (Code.CANCEL, Kind.RESET),
        ],
    )
    async def test_before_the_head(self, link, node, code, kind):
        node.answer_with(lambda exchange: exchange.reset(code, "so"))
        assert await failure_of(link.ask(HEAD, b"{}", guest=False)) is kind

    async def test_after_the_head_it_is_a_lost_connection(self, link, node):
        async def half(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.send(b"half")
            await exchange.reset(Code.LOCAL_UNREACHABLE)

        node.answer_with(half)
        answer = await link.ask(HEAD, b"{}", guest=False)
        assert await failure_of(answer.read(MIB)) is Kind.RESET
        answer.close()

    @pytest.mark.parametrize(
        "head", [b"[]", b'{"status":99}', b'{"status":"200"}', b'{"status":200,"headers":{"a":1}}', b"\xff\xff"]
    )
    async def test_a_head_that_is_none(self, link, node, head):
        async def begin(exchange: Exchange) -> None:
            node.session.send_head(exchange.stream, head)
            await node.flush()

        node.answer_with(begin)
        assert await failure_of(link.ask(HEAD, b"{}", guest=False)) is Kind.MALFORMED
        node.answer_with(echo)
        assert await (await link.ask(HEAD, b"still here", guest=False)).read(MIB) == b"still here"

    async def test_a_node_that_goes_refuses_what_it_did_not_take(self, console, link, node):
        node.answer_with(echo)
        node.session.go_away()
        asking = asyncio.create_task(link.ask(HEAD, b"{}", guest=False))
        await asyncio.sleep(0)
        await node.flush()
        assert await failure_of(asking) is Kind.BUSY
        assert link.is_leaving
        assert console.links.find("node_1") is link


OTHERS = frames.encode(frames.DATA, 0, 77, b"not mine")
HOSTILE = {
    "unknown type": frames.encode(99, 0, 1, b""),
    "no frame": b"\x00",
    "wrong length": frames.encode(frames.DATA, 0, 1, b"data")[:-1],
    "another's stream": OTHERS,
    "credit for nothing": frames.encode_window_update(0, 1000),
    "an answer to no ping": frames.encode(frames.PING, 1, 0, bytes(8)),
    "settings that are a list": frames.encode(frames.SETTINGS, 0, 0, b"[]"),
    "settings that are nothing": frames.encode(frames.SETTINGS, 0, 0, b"\xff\xff"),
}


class TestHostileFrames:
    @pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE)
    async def test_it_loses_its_connection_and_nobody_else_does(self, console, node, asking, message):
        async with console.node("other") as other:
            other.answer_with(echo)
            theirs = await console.until_connected("other")
            await node.say(message)
            assert await failure_of(asking) is Kind.RESET
            assert await node.closed() == 1002
            assert console.links.find("node_1") is None
            assert await (await theirs.ask(HEAD, b"fine", guest=False)).read(MIB) == b"fine"

    async def test_it_is_told_why(self, node):
        await node.say(OTHERS)
        await node.closed()
        assert node.away.code is Code.PROTOCOL_ERROR

    async def test_more_than_its_credit(self, link, node):
        async def flood(exchange: Exchange) -> None:
            await exchange.begin()
            await node.say(*[frames.encode(frames.DATA, 0, exchange.stream, bytes(32_768))] * 17)

        node.answer_with(flood)
        answer = await link.ask(HEAD, b"{}", guest=False)
        answer.pause()
        assert await node.closed() == 1002
        answer.close()

    async def test_data_after_the_end(self, link, node):
        async def more(exchange: Exchange) -> None:
            await exchange.begin()
            await exchange.send(b"all", ended=True)
            await node.say(frames.encode(frames.DATA, 0, exchange.stream, b"more"))

        node.answer_with(more)
        answer = await link.ask(HEAD, b"{}", guest=False)
        assert await answer.read(MIB) == b"all"
        assert await node.closed() == 1002

    async def test_settings_without_end(self, console, node):
        message = frames.encode(frames.SETTINGS, 0, 0, b"{}")
        await node.say(*[message] * 200)
        assert await node.closed() == 1002
        assert len(console.told) < 100

    async def test_a_message_larger_than_a_frame(self, node):
        await node.say(bytes(70_000))
        assert await node.closed() == 1009

    async def test_a_fragmented_message(self, node):
        await node.socket.send([b"\x04\x00\x00", b"\x00\x00\x00\x00\x00\x02{}"])
        assert await node.closed() == 1002

    async def test_text_in_the_place_of_bytes(self, node):
        await node.socket.send("text")
        assert await node.closed() == 1002

    async def test_a_ping_of_the_websocket_is_answered(self, node):
        await asyncio.wait_for(await node.socket.ping(), 5)

    async def test_pings_of_which_nobody_reads_the_answers(self, console, link, node):
        node.freeze()
        narrow(link._wire.transport, node.socket.transport)
        settings = frames.encode(frames.SETTINGS, 0, 0, b"{}")
        node.socket.transport.write(MANY_PINGS + bytes((0x82, 0x80 | len(settings))) + bytes(4) + settings)
        async with asyncio.timeout(20):
            while not console.told:
                await asyncio.sleep(0.01)
        assert link._wire.transport.get_write_buffer_size() < MIB

    async def test_a_frame_that_arrives_byte_by_byte(self, console, node):
        payload = frames.encode(frames.SETTINGS, 0, 0, b'{"state":{}}')
        wire = bytes((0x82, 0x80 | len(payload))) + bytes(4) + payload
        for byte in wire:
            node.socket.transport.write(bytes((byte,)))
            await asyncio.sleep(0.001)
        async with asyncio.timeout(5):
            while not console.told:
                await asyncio.sleep(0.005)
        assert console.told == [("node_1", {"state": {}})]


class TestHeartbeat:
    async def test_every_node_that_is_quiet_is_asked_once_in_ten_sweeps(self, console, link, node):
        for quiet_s in (0, USUAL.every_s):
            for _ in range(USUAL.every_s):
                console.links.sweep(link.heard_at + quiet_s)
        pings = []
        receive = node.session.receive
        node.session.receive = lambda message: pings.append(message) or receive(message)
        async with asyncio.timeout(5):
            while not pings:
                await asyncio.sleep(0.01)
        assert [frames.decode(message).kind for message in pings] == [frames.PING]

    async def test_a_frozen_node_is_let_go_and_its_work_fails_over(self, console, link, node, asking):
        node.freeze()
        console.links.sweep(link.heard_at + USUAL.dead_after_s - 1)
        assert console.links.find("node_1") is link
        console.links.sweep(link.heard_at + USUAL.dead_after_s + 1)
        assert await failure_of(asking) is Kind.RESET
        assert console.links.find("node_1") is None

    async def test_one_who_speaks_is_not_dead(self, console, link, node):
        heard_at = link.heard_at
        await asyncio.sleep(0.01)
        await node.say(frames.encode(frames.PING, 0, 0, struct.pack(">Q", 7)))
        async with asyncio.timeout(5):
            while link.heard_at == heard_at:
                await asyncio.sleep(0.005)
        console.links.sweep(heard_at + USUAL.dead_after_s + 0.001)
        assert console.links.find("node_1") is link

    async def test_a_node_that_reads_nothing_makes_nobody_remember_much(self, console, link, node):
        """Its socket fills up; what is for it waits within the streams' credit, and is dropped with it."""
        node.freeze()
        # Some kernels would take all that the connection's credit allows.
        link._wire.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 * 1024)
        asking = [asyncio.create_task(link.ask(HEAD, bytes(MIB), guest=False)) for _ in range(40)]
        async with asyncio.timeout(20):
            while link._wire.is_writable:
                await asyncio.sleep(0.01)
        assert link._wire.transport.get_write_buffer_size() < MIB
        link.close(REVOKED, "")
        assert [await failure_of(one) for one in asking] == [Kind.RESET] * 40


class TestEnding:
    async def test_a_revoked_node_is_closed_at_once(self, console, link, node, asking):
        console.links.revoke("node_1")
        assert await failure_of(asking) is Kind.RESET
        assert await node.closed() == 4403
        assert len(console.links) == 0

    async def test_one_that_proved_itself_just_before_it_was_revoked_is_closed_too(self, console):
        node = console.node()
        await node.dial()
        console.links.revoke("node_1")  # as if the gate had looked before
        await node.greet()
        assert await node.closed() == 4403
        assert len(console.links) == 0
        console.links.sweep(monotonic() + REMEMBERED_S + 1)
        assert not console.links._revoked

    async def test_revoked_it_does_not_finish_what_an_earlier_connection_has(self, console, link, node, asking):
        link.server_stops()
        console.links.replaced("node_1", link.generation + 1)
        assert console.links.find("node_1") is None
        console.links.revoke("node_1")
        assert await failure_of(asking) is Kind.RESET
        assert await node.closed() == 4403

    async def test_a_lost_connection_fails_what_was_on_it(self, console, link, node, asking):
        node.socket.transport.abort()
        assert await failure_of(asking) is Kind.RESET
        assert console.links.find("node_1") is None

    async def test_when_the_process_ends_what_is_open_is_finished_first(self, console, link, node):
        go_on = asyncio.Event()

        async def slow(exchange: Exchange) -> None:
            await exchange.begin()
            await go_on.wait()
            await exchange.send(b"done", ended=True)

        node.answer_with(slow)
        answer = await link.ask(HEAD, b"{}", guest=False)
        link.server_stops()
        await node.until(lambda: node.away is not None)
        assert await failure_of(link.ask(HEAD, b"{}", guest=False)) is Kind.BUSY
        go_on.set()
        assert await answer.read(MIB) == b"done"
        assert await node.closed() == 1012

    async def test_a_newer_connection_does_not_cut_off_one_that_is_finishing(self, console, link, node):
        go_on = asyncio.Event()

        async def slow(exchange: Exchange) -> None:
            await exchange.begin()
            await go_on.wait()
            await exchange.send(b"done", ended=True)

        node.answer_with(slow)
        answer = await link.ask(HEAD, b"{}", guest=False)
        link.server_stops()
        async with console.node():
            go_on.set()
            assert await answer.read(MIB) == b"done"
            assert await node.closed() == 1012
            assert console.link().generation == 2
