"""Writes of one turn, on real connections of the loop that serves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
import uvloop

from common.together import Together, of_running_loop


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for pair in made:
        for end in pair:
            end.close()


def heard(end: socket.socket) -> bytes:
    end.setblocking(False)
    try:
        return end.recv(100)
    except BlockingIOError:
        return b""


async def transport_of(end: socket.socket) -> asyncio.Transport:
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=end)
    return transport


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run])
def test_they_leave_at_the_end_of_the_turn_each_in_its_order(pairs, run):
    async def turn() -> None:
        first, second, _ = [await transport_of(here) for here, _ in pairs]
        writes = of_running_loop()
        writes.write(first, b"a")
        writes.write(second, b"b")
        writes.write(first, b"c")
        assert [heard(there) for _, there in pairs] == [b"", b"", b""]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [heard(there) for _, there in pairs] == [b"ac", b"b", b""]

    run(turn())


def test_who_is_gone_or_cannot_be_written_to_keeps_nothing_from_the_others(pairs, caplog):
    async def turn() -> None:
        gone, broken, well = [await transport_of(here) for here, _ in pairs]
        writes = of_running_loop()
        writes.write(gone, b"a")
        writes.write(broken, "no bytes")  # type: ignore[arg-type]
        writes.write(well, b"c")
        gone.abort()
        writes.flush()
        assert heard(pairs[2][1]) == b"c"
        assert broken.is_closing()

    uvloop.run(turn())
    assert len(caplog.records) == 1


def test_each_loop_has_its_own():
    """What one that ended did not write would else hold up the next."""

    async def asked_twice() -> list[Together]:
        return [of_running_loop(), of_running_loop()]

    one, same = uvloop.run(asked_twice())
    other, _ = uvloop.run(asked_twice())
    assert one is same
    assert one is not other


def test_what_is_to_be_first_happens_before_anything_leaves(pairs):
    """Also when it was asked for last, and when nothing is to leave."""
    heard_before: list[bytes] = []

    async def turn() -> None:
        transport = await transport_of(pairs[0][0])
        writes = of_running_loop()

        def look() -> None:
            heard_before.append(heard(pairs[0][1]))

        writes.write(transport, b"a")
        writes.first(look)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard_before == [b""]
        assert heard(pairs[0][1]) == b"a"
        writes.first(look)
        assert heard_before == [b""]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard_before == [b"", b""]
        writes.first(look)
        writes.flush()
        assert heard_before == [b"", b"", b""]

    uvloop.run(turn())
