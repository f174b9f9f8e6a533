"""Requests that wait at the console for a slot of their node: in turn, not for ever, and nobody's slot is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from nodes.fleet import MOST_WAITING_PER_SLOT
from nodes.link import Link, head_of
from nodes.transport import longest_wait_s
from providers.failures import Kind, UpstreamFailure
from providers.transport import Deadlines, UpstreamRequest
from shareai_node.tunnel.errors import Code
from tests.fakes.node import Exchange, FakeNode
from tests.nodes.tunnelling import Console, serving

PATH = "/v1/chat/completions"
HEAD = head_of(PATH, ())


@pytest.fixture
async def console() -> AsyncIterator[Console]:
    async with serving() as console:
        yield console


@pytest.fixture
async def node(console: Console) -> AsyncIterator[FakeNode]:
    async with console.node() as node:
        await console.until_connected()
        node.answer_with(held)
        yield node


@pytest.fixture
def link(console: Console, node: FakeNode) -> Link:
    return console.link()


async def held(exchange: Exchange) -> None:
    """Until it is reset, or `answered`."""
    await asyncio.Event().wait()


async def answered(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.send(b"yes", ended=True)


def asking(link: Link, body: bytes = b"{}", *, guest: bool = False, slots: int = 1, waits_s: float | None = None):
    return asyncio.create_task(link.ask(HEAD, body, guest=guest, slots=slots, waits_s=waits_s))


async def kind_of(task: asyncio.Task) -> Kind:
    with pytest.raises(UpstreamFailure) as caught:
        async with asyncio.timeout(10):
            await task
    return caught.value.kind


async def seen(node: FakeNode, count: int) -> None:
    await node.until(lambda: len(node.seen) == count)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_they_come_in_turn(link, node):
    first = asking(link)
    await seen(node, 1)
    waiting = [asking(link, str(number).encode()) for number in range(4)]
    await settled()
    assert (link.in_flight, len(node.seen)) == (5, 1)
    node.answer_with(answered)
    await answered(node.seen[0])
    for task in (first, *waiting):
        (await task).close()
    assert [await exchange.request() for exchange in node.seen[1:]] == [b"0", b"1", b"2", b"3"]
    assert link.in_flight == 0


async def test_nobody_passes_one_who_was_called(link, node):
    first = asking(link)
    await seen(node, 1)
    waiting = asking(link, b"waited")
    await settled()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    late = asking(link, b"late")
    await seen(node, 2)
    assert await node.seen[1].request() == b"waited"
    for task in (waiting, late):
        task.cancel()
    await asyncio.gather(waiting, late, return_exceptions=True)
    assert link.in_flight == 0


async def test_one_who_leaves_when_called_calls_the_next(link, node):
    first = asking(link)
    await seen(node, 1)
    leaving, staying = asking(link, b"leaving"), asking(link, b"staying")
    await settled()
    link.let_go(next(iter(link._answers.values())))
    leaving.cancel()
    await seen(node, 2)
    assert await node.seen[1].request() == b"staying"
    for task in (first, staying):
        task.cancel()
    await asyncio.gather(first, leaving, staying, return_exceptions=True)


async def test_the_line_has_an_end(link, node):
    inside = [asking(link) for _ in range(1 + MOST_WAITING_PER_SLOT)]
    await seen(node, 1)
    assert await kind_of(asking(link)) is Kind.BUSY
    for task in inside:
        task.cancel()
    await asyncio.gather(*inside, return_exceptions=True)
    assert link.in_flight == 0


async def test_who_waits_too_long_says_nothing_against_the_machine(link, node):
    first = asking(link)
    await seen(node, 1)
    assert await kind_of(asking(link, waits_s=0.01)) is Kind.WAITED
    assert link.in_flight == 1
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_guest_does_not_wait(link, node):
    first = asking(link, guest=True)
    await seen(node, 1)
    assert await kind_of(asking(link, guest=True)) is Kind.BUSY
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_the_owner_is_not_held_up_by_a_guest(link, node):
    guest = asking(link, guest=True)
    await seen(node, 1)
    owner = asking(link)
    assert await kind_of(guest) is Kind.RATE_LIMITED
    await seen(node, 2)
    assert (link.in_flight, link.guests_in_flight) == (1, 0)
    owner.cancel()
    await asyncio.gather(owner, return_exceptions=True)


async def test_more_slots_let_those_in_who_wait(link, node):
    tasks = [asking(link) for _ in range(3)]
    await seen(node, 1)
    tasks.append(asking(link, slots=4))
    await seen(node, 4)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("end", ["lost", "stops", "drains"])
async def test_with_the_connection_the_line_ends(link, node, end):
    first = asking(link)
    await seen(node, 1)
    waiting = asking(link)
    await settled()
    if end == "lost":
        node.socket.transport.abort()
    elif end == "stops":
        link.server_stops()
    else:
        node.session.go_away()
        await node.flush()
    assert await kind_of(waiting) is Kind.BUSY
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_headers_that_fit_no_frame_lose_nobody_a_slot(link, node):
    first = asking(link)
    await seen(node, 1)
    large = asyncio.create_task(link.ask(head_of(PATH, (("X-Large", "x" * 70_000),)), b"{}", slots=1))
    last = asking(link, b"last")
    await settled()
    first.cancel()
    assert await kind_of(large) is Kind.TOO_LARGE
    await seen(node, 2)
    assert await node.seen[1].request() == b"last"
    last.cancel()
    await asyncio.gather(first, last, return_exceptions=True)


async def test_a_slot_that_the_machine_gives_back_by_refusing_is_free(link, node):
    node.answer_with(lambda exchange: exchange.reset(Code.REFUSED_STREAM, "full"))
    assert [await kind_of(task) for task in [asking(link), asking(link)]] == [Kind.BUSY] * 2
    assert link.in_flight == 0


@pytest.mark.parametrize(("body", "first_byte_s"), [(b'{"stream":true}', 10), (b'{"messages":[]}', 100)])
def test_nobody_waits_until_no_first_byte_could_be_in_time(body, first_byte_s):
    deadlines = Deadlines(first_byte_s=10, first_byte_unary_s=100)
    waits_s = longest_wait_s(UpstreamRequest("/chat/completions", (), body), deadlines)
    assert 0.9 * first_byte_s < waits_s < first_byte_s
