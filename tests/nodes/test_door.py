"""Who comes in: the handshake on a real WebSocket, and everybody who is turned away at it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from console import websocket
from nodes.link import head_of
from tests.fakes.node import SUBPROTOCOL, FakeNode, unpadded
from tests.nodes.tunnelling import CONFIG, MANY_PINGS, Console, narrow, serving


@pytest.fixture
async def console() -> AsyncIterator[Console]:
    async with serving() as console:
        yield console


async def code_for(caller: FakeNode, **changes: object) -> int:
    """With which a hello is refused."""
    await caller.dial()
    with pytest.raises(ConnectionClosed) as caught:
        await caller.greet(**changes)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


async def test_whoever_proves_itself_is_welcome(console):
    async with console.node() as node:
        assert node.challenge["console"] == console.gate.origin
        assert len(unpadded(node.challenge["nonce"])) == 32
        assert node.welcome == {
            "type": "welcome",
            "generation": 1,
            "heartbeat_s": 10,
            "dead_after_s": 30.0,
            "config": CONFIG,
        }
        assert (await console.until_connected()).generation == 1


async def test_each_challenge_is_another(console):
    async with console.node("one") as one, console.node("two") as two:
        assert one.challenge["nonce"] != two.challenge["nonce"]


async def test_an_unknown_node(console):
    stranger = FakeNode(console.url, "node_9", Ed25519PrivateKey.generate())
    assert await code_for(stranger) == 4401


async def test_a_wrong_key(console):
    console.gate.key("node_1")
    impostor = FakeNode(console.url, "node_1", Ed25519PrivateKey.generate())
    assert await code_for(impostor) == 4401


async def test_a_signature_for_another_console(console):
    assert await code_for(console.node(origin="https://elsewhere.example")) == 4401


async def test_a_replayed_hello(console):
    """What was signed for one challenge is worth nothing at the next."""
    async with console.node() as node:
        old = node.challenge
    again = console.node()
    await again.dial()
    again.challenge = old
    with pytest.raises(ConnectionClosed) as caught:
        await again.greet()
    assert caught.value.rcvd.code == 4401


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"type": "goodbye"}, 4400),
        ({"node": None}, 4400),
        ({"node": "n" * 61}, 4400),
        ({"signature": "s" * 101}, 4400),
        ({"protocol": 2}, 4426),
        ({"protocol": "1"}, 4400),
    ],
)
async def test_a_hello_that_is_none(console, change, code):
    assert await code_for(console.node(), **change) == code


@pytest.mark.parametrize("message", ["", "{", "[]", "x" * 5000, b"\x00", b"{}"])
async def test_other_first_words(console, message):
    node = console.node()
    await node.dial()
    await node.socket.send(message)
    assert await node.closed() == 4400


async def test_no_word_at_all():
    async with serving(hello_s=0.1) as console:
        node = console.node()
        await node.dial()
        assert await node.closed() == 4408


async def test_a_stranger_who_asks_on_and_on_and_reads_nothing_is_let_go(monkeypatch):
    monkeypatch.setattr(websocket, "LINGER_S", 0.2)
    async with serving(hello_s=0.5) as console:
        node = console.node()
        await node.dial()
        (connection,) = console.connections
        narrow(connection.transport, node.socket.transport)
        node.socket.transport.pause_reading()
        node.socket.transport.write(MANY_PINGS)
        most = 0
        try:
            async with asyncio.timeout(10):
                while console.connections:
                    most = max(most, connection.transport.get_write_buffer_size())
                    await asyncio.sleep(0.01)
        finally:
            connection.transport.abort()
        assert 0 < most < 1 << 20


async def test_frames_before_the_welcome(console):
    """They arrive with the hello, before anybody could have been welcomed."""
    node = console.node()
    await node.dial()
    real = node.socket.send

    async def send(message: str) -> None:
        await real(message)
        await real(bytes(17))

    node.socket.send = send
    with pytest.raises(ConnectionClosed) as caught:
        await node.greet()
    assert caught.value.rcvd.code == 4400


@pytest.mark.parametrize("header", [{"Origin": "https://evil.example"}, {"Cookie": "sessionid=1"}])
async def test_no_browser(console, header):
    with pytest.raises(InvalidStatus) as caught:
        await connect(console.url, subprotocols=[SUBPROTOCOL], additional_headers=header)
    assert caught.value.response.status_code == 403


async def test_nobody_who_does_not_name_the_protocol(console):
    with pytest.raises(InvalidStatus) as caught:
        await connect(console.url)
    assert caught.value.response.status_code == 403


async def test_no_compression_is_agreed(console):
    async with connect(console.url, subprotocols=[SUBPROTOCOL], compression="deflate") as socket:
        assert json.loads(await socket.recv())["type"] == "challenge"
        assert socket.protocol.extensions == []


class TestNewestWins:
    async def test_the_older_connection_is_closed(self, console):
        async with console.node() as older:
            await console.until_connected()
            async with console.node():
                assert await older.closed() == 4409
                assert console.link().generation == 2
                assert len(console.links) == 1

    async def test_what_the_older_had_in_flight_fails_over(self, console):
        async with console.node() as older:
            older.answer_with(lambda exchange: asyncio.sleep(60))
            link = await console.until_connected()
            asking = asyncio.create_task(link.ask(head_of("/v1/chat/completions", ()), b"{}", guest=False))
            await older.until(lambda: bool(older.seen))
            async with console.node():
                with pytest.raises(Exception, match="lost"):
                    await asking

    async def test_one_that_connected_elsewhere_is_closed_here(self, console):
        async with console.node() as node:
            await console.until_connected()
            console.links.replaced("node_1", generation=1)
            assert len(console.links) == 1
            console.links.replaced("node_1", generation=2)
            assert await node.closed() == 4409
            assert len(console.links) == 0
