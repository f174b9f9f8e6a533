"""Whoever reaches the port of a relay without its secret is refused, whatever is sent in its place."""

from __future__ import annotations

import asyncio

import pytest

from nodes.relay import Relay
from tests.nodes.tunnelling import SECRET, serving


@pytest.mark.parametrize(
    "secret", [b"", b"wrong", b"\xff\xfe", SECRET.encode()[:-1], SECRET.encode() + b"\xed\xa0\x80"]
)
async def test_a_stranger_is_refused(secret):
    async with serving() as console, console.node():
        await console.until_connected()
        relay = Relay(console.links, SECRET)
        await relay.start("127.0.0.1")
        host, _, port = relay.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /node_1/v1/chat/completions HTTP/1.1\r\nx-relay-secret: " + secret + b"\r\n\r\n")
        async with asyncio.timeout(5):
            told = await reader.readuntil(b"\r\n\r\n")
        assert b"502" in told.split(b"\r\n")[0]
        assert b"x-relay-failure: egress_refused" in told
        writer.close()
        relay.stop()
