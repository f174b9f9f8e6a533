"""The contract of `providers.transport`, kept by every transport: the fault menu is played behind each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import msgspec
import orjson
import pytest

from demo.answers import Voice, answer
from demo.faults import MENU, Scene, Step, steps
from demo.faults.catalogue import Kind as Menu
from providers.dialer import Dialer
from providers.egress import AllowList
from providers.failures import Kind, UpstreamFailure
from providers.targets import Target
from providers.transport import Deadlines, Transport, UpstreamRequest, UpstreamResponse
from providers.upstream import DirectTransport
from tests.fakes.scripted import ScriptedTransport
from tests.fakes.upstream import FaultUpstream, refusing_url
from tests.fakes.wirelog import End
from tests.nodes.tunnelling import Console, colleague_of, serving
from tests.providers.targets import target_at

KEY = "upstream-key"
ASK = {"messages": [{"role": "user", "content": "hello there"}]}
ENOUGH_BYTES = 1 << 24
DEADLINES = Deadlines()
ENDLESS = {"hang", "hang-after-headers", "stall", "endless-comments", "endless-tokens", "event-10mib", "gzip-bomb"}
BROKEN_WHOLE = {"reset", "reset-midstream", "cut-midstream", "wrong-length"}
BROKEN_STREAM = {"reset-midstream", "wrong-length"}


def request_for(slug: str, *, stream: bool) -> UpstreamRequest:
    body = orjson.dumps({"model": slug, "stream": stream, **ASK})
    headers = (("Authorization", f"Bearer {KEY}"), ("Content-Type", "application/json"))
    return UpstreamRequest("/chat/completions", headers, body)


def at_node(node: str) -> Target:
    return msgspec.structs.replace(target_at(f"node://{node}"), transport="tunnel", node=node)


@dataclass
class Rig:
    """One transport with the fault menu behind it. The rest tells what the far end saw."""

    transport: Transport
    target: Target
    refusing: Target
    received: Callable[[], tuple[str, dict[str, str], bytes]]
    wait_until_stopped: Callable[[], Awaitable[None]]
    connections: Callable[[], int] = lambda: 0

    async def ask(self, slug: str, *, stream: bool) -> UpstreamResponse:
        return await self.transport.send(self.target, request_for(slug, stream=stream), DEADLINES)


def seen_by(
    upstream: FaultUpstream,
) -> tuple[Callable[[], tuple[str, dict[str, str], bytes]], Callable[[], Awaitable[None]]]:
    """What a rig tells of the far end, where that is a real server."""

    def received() -> tuple[str, dict[str, str], bytes]:
        last = upstream.log.last
        return last.path, last.headers, last.raw

    async def wait_until_stopped() -> None:
        await upstream.log.until(lambda log: len(log) and log.last.end is End.CLIENT_LEFT)

    return received, wait_until_stopped


@asynccontextmanager
async def direct() -> AsyncIterator[Rig]:
    async with FaultUpstream() as upstream:
        with refusing_url() as dead_url:
            ports = f"127.0.0.1:{upstream.port}, 127.0.0.1:{dead_url.split(':')[2][:-3]}"
            transport = DirectTransport(Dialer(AllowList.parse(ports)))
            there, dead = target_at(upstream.base_url), target_at(dead_url)
            yield Rig(transport, there, dead, *seen_by(upstream), lambda: upstream.log.connections)
            transport.close()


@asynccontextmanager
async def scripted() -> AsyncIterator[Rig]:
    def script(request: UpstreamRequest) -> Iterator[Step]:
        body = orjson.loads(request.body)
        reply = answer("/v1/chat/completions", body, Voice("Fault"))
        return steps(body["model"], Scene(reply, body["stream"], KEY))[1]

    transport, dead = ScriptedTransport(script), target_at("http://dead/v1")

    def received() -> tuple[str, dict[str, str], bytes]:
        last = transport.sent[-1]
        headers = {name.lower(): value for name, value in last.request.headers}
        return "/v1" + last.request.path, headers, last.request.body

    async def wait_until_stopped() -> None:
        async with asyncio.timeout(5):
            await transport.sent[-1].told_to_stop.wait()

    transport.refuse(dead)
    yield Rig(transport, target_at("http://scripted/v1"), dead, received, wait_until_stopped)


@asynccontextmanager
async def _machines() -> AsyncIterator[tuple[Console, Rig]]:
    """Two nodes: behind one the fault menu, behind the other nobody."""
    async with (
        serving() as console,
        FaultUpstream() as upstream,
        console.node("one") as one,
        console.node("two") as two,
    ):
        with refusing_url() as dead_url:
            one.serve(upstream.base_url)
            two.serve(dead_url)
            for node in ("one", "two"):
                await console.until_connected(node)
            rig = Rig(console.transport, at_node("one"), at_node("two"), *seen_by(upstream))
            yield console, rig


@asynccontextmanager
async def tunnelled() -> AsyncIterator[Rig]:
    async with _machines() as (_, rig):
        yield rig


@asynccontextmanager
async def relayed() -> AsyncIterator[Rig]:
    """The nodes are connected to another process."""
    async with _machines() as (console, rig), colleague_of(console, "one", "two") as transport:
        yield replace(rig, transport=transport)


@pytest.fixture(params=[direct, scripted, tunnelled, relayed])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with request.param() as rig:
        yield rig


async def rest_of(response: UpstreamResponse) -> bytes:
    parts = []
    while part := await response.next_chunk():
        parts.append(part)
    return b"".join(parts)


class Following:
    """A follower who keeps what it is given."""

    def __init__(self) -> None:
        self.got = b""
        self.over: asyncio.Future[UpstreamFailure | None] = asyncio.get_running_loop().create_future()
        self._came = asyncio.Event()

    def data(self, chunk: bytes) -> None:
        self.got += chunk
        self._came.set()

    def ended(self, failure: UpstreamFailure | None) -> None:
        self.over.set_result(failure)

    async def more(self) -> None:
        self._came.clear()
        async with asyncio.timeout(5):
            await self._came.wait()


def _said(stream: bytes) -> list[object]:
    """Of each event what does not differ from answer to answer."""
    events = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: {")]
    return [(event.get("choices"), event.get("usage")) for event in map(orjson.loads, events)]


async def failure_of(response: UpstreamResponse) -> UpstreamFailure:
    with pytest.raises(UpstreamFailure) as caught:
        await rest_of(response)
    return caught.value


class TestSending:
    async def test_what_is_sent_arrives(self, rig: Rig) -> None:
        (await rig.ask("ok", stream=False)).close()
        path, headers, body = rig.received()
        assert path == "/v1/chat/completions"
        assert headers["authorization"] == f"Bearer {KEY}"
        assert body == request_for("ok", stream=False).body

    async def test_nobody_there(self, rig: Rig) -> None:
        with pytest.raises(UpstreamFailure) as caught:
            await rig.transport.send(rig.refusing, request_for("ok", stream=False), DEADLINES)
        assert caught.value.kind is Kind.CONNECT

    async def test_a_connection_that_breaks_before_the_head(self, rig: Rig) -> None:
        with pytest.raises(UpstreamFailure) as caught:
            await rig.ask("reset", stream=False)
        assert caught.value.kind is Kind.RESET

    @pytest.mark.parametrize("slug", ["500", "429", "redirect-metadata"])
    async def test_any_status_is_an_answer(self, rig: Rig, slug: str) -> None:
        response = await rig.ask(slug, stream=False)
        assert response.status == {"500": 500, "429": 429, "redirect-metadata": 307}[slug]
        await response.read(ENOUGH_BYTES)
        response.close()

    async def test_headers_are_found_in_any_case(self, rig: Rig) -> None:
        response = await rig.ask("429", stream=False)
        assert response.headers.get("Retry-After") == response.headers.get("retry-after") == "1"
        response.close()

    async def test_giving_up_before_the_head_stops_the_upstream(self, rig: Rig) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rig.ask("hang", stream=True), 0.05)
        await rig.wait_until_stopped()


class TestReading:
    async def test_the_whole_body(self, rig: Rig) -> None:
        response = await rig.ask("ok", stream=False)
        assert orjson.loads(await response.read(ENOUGH_BYTES))["choices"]
        response.close()

    async def test_more_than_the_limit(self, rig: Rig) -> None:
        response = await rig.ask("ok", stream=False)
        with pytest.raises(UpstreamFailure) as caught:
            await response.read(10)
        assert caught.value.kind is Kind.TOO_LARGE
        response.close()

    @pytest.mark.parametrize("slug", sorted(BROKEN_WHOLE - {"reset"}))
    async def test_a_body_that_is_cut_short(self, rig: Rig, slug: str) -> None:
        response = await rig.ask(slug, stream=False)
        with pytest.raises(UpstreamFailure) as caught:
            await response.read(ENOUGH_BYTES)
        assert caught.value.kind is Kind.RESET
        response.close()


class TestStreaming:
    async def test_to_its_clean_end_and_not_beyond(self, rig: Rig) -> None:
        response = await rig.ask("ok", stream=True)
        assert (await rest_of(response)).endswith(b"data: [DONE]\n\n")
        assert await response.next_chunk() == b""
        response.close()

    async def test_what_has_come_is_there_before_the_rest_comes(self, rig: Rig) -> None:
        response = await rig.ask("stall", stream=True)
        seen = b""
        while b'"content":"This"' not in seen:
            seen += await response.next_chunk()
        response.close()

    async def test_a_follower_gets_what_a_reader_would(self, rig: Rig) -> None:
        read = await rest_of(await rig.ask("ok", stream=True))
        follower = Following()
        (await rig.ask("ok", stream=True)).follow(follower)
        assert await follower.over is None
        assert _said(follower.got) == _said(read)

    async def test_a_follower_who_comes_late_misses_nothing(self, rig: Rig) -> None:
        response = await rig.ask("ok", stream=True)
        first = await response.next_chunk()
        await asyncio.sleep(0.05)
        follower = Following()
        response.follow(follower)
        assert await follower.over is None
        assert (first + follower.got).endswith(b"data: [DONE]\n\n")

    @pytest.mark.parametrize("slug", sorted(BROKEN_STREAM))
    async def test_a_follower_hears_of_a_broken_end(self, rig: Rig, slug: str) -> None:
        response, follower = await rig.ask(slug, stream=True), Following()
        response.follow(follower)
        failure = await follower.over
        assert failure is not None
        assert failure.kind in (Kind.RESET, Kind.MALFORMED)
        response.close()

    async def test_a_paused_follower_is_spared_and_an_endless_upstream_held_back(self, rig: Rig) -> None:
        response, follower = await rig.ask("endless-tokens", stream=True), Following()
        response.follow(follower)
        await follower.more()
        response.pause()
        await asyncio.sleep(0.05)  # what was under way
        size = len(follower.got)
        await asyncio.sleep(0.1)
        assert len(follower.got) == size
        response.resume()
        await follower.more()
        response.close()
        await rig.wait_until_stopped()

    @pytest.mark.parametrize("slug", sorted(BROKEN_STREAM))
    async def test_a_broken_end_is_no_end(self, rig: Rig, slug: str) -> None:
        response = await rig.ask(slug, stream=True)
        assert (await failure_of(response)).kind in (Kind.RESET, Kind.MALFORMED)
        response.close()


class TestClosing:
    @pytest.mark.parametrize("slug", ["hang-after-headers", "stall", "endless-tokens"])
    async def test_before_the_end_it_stops_the_upstream(self, rig: Rig, slug: str) -> None:
        response = await rig.ask(slug, stream=True)
        response.close()
        await rig.wait_until_stopped()

    async def test_twice_and_after_a_failure(self, rig: Rig) -> None:
        response = await rig.ask("reset-midstream", stream=True)
        await failure_of(response)
        response.close()
        response.close()

    async def test_a_reader_who_is_cancelled_can_still_close(self, rig: Rig) -> None:
        response = await rig.ask("stall", stream=True)
        reader = asyncio.create_task(rest_of(response))
        await asyncio.sleep(0.02)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        response.close()
        await rig.wait_until_stopped()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("slug", sorted(set(MENU) - ENDLESS))
async def test_nothing_but_a_failure_is_ever_raised(rig: Rig, slug: str, stream: bool) -> None:
    broken = slug in (BROKEN_STREAM | {"reset"} if stream else BROKEN_WHOLE)
    try:
        response = await rig.ask(slug, stream=stream)
        await response.read(ENOUGH_BYTES)
        response.close()
    except UpstreamFailure:
        assert broken or MENU[slug] is Menu.MIDWAY
    else:
        assert not broken


class TestSurplus:
    """Bytes that nobody asked for. Over HTTP they lie on a connection that the next request may use."""

    @pytest.fixture
    async def over_http(self) -> AsyncIterator[Rig]:
        async with direct() as rig:
            yield rig

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    @pytest.mark.parametrize("busy", [False, True], ids=["read", "unread"])
    async def test_it_is_nobody_s_answer(self, over_http: Rig, stream: bool, busy: bool) -> None:
        (await rest_of(await over_http.ask("unsolicited", stream=stream)))
        if busy:
            time.sleep(0.05)  # it waits in the kernel
        else:
            await asyncio.sleep(0.05)  # it has been read
        response = await over_http.ask("ok", stream=stream)
        assert b"not yours" not in await rest_of(response)
        response.close()

    async def test_a_clean_connection_is_used_again(self, over_http: Rig) -> None:
        for _ in range(3):
            await rest_of(await over_http.ask("ok", stream=False))
            await rest_of(await over_http.ask("ok", stream=True))
        assert over_http.connections() == 1
