"""Staying connected: what a node does when its console goes, comes, moves, refuses or falls silent."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from contextlib import asynccontextmanager

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from shareai_node.classification import Backoff, Next, Verdict, classify
from shareai_node.config import Config
from shareai_node.tunnel.errors import Code
from tests.agent.conftest import Home
from tests.agent.console import Broken, Console
from tests.agent.test_serving import CHAT, HELLO, faulty, local, ready
from tests.fakes.upstream import FaultUpstream

CONFIG = Config("https://a.example", "wss://a.example/nodes/v1/connect", "node_1", "tower", "Tower", "Acme")


async def test_nodes_come_back_after_a_restart(make_home, console: Console, llama: str):
    homes = [make_home(f"node{number}") for number in range(5)]
    for number, home in enumerate(homes):
        token = f"sai-node-fleet-token-{number}"
        console.tokens.add(token)
        done = await home.do("enroll", console.origin, "--no-discover", "--server", llama, given=token)
        assert done.code == 0, done.err
    async with asyncio.TaskGroup() as group:
        leave = asyncio.Event()
        for home in homes:
            group.create_task(_run_until(home, leave))
        await console.connected(len(homes))
        await console.stop()
        await asyncio.sleep(1)
        console.links.clear()
        await console.start()
        await console.connected(len(homes), within_s=15)
        assert len({link.node for link in console.links}) == len(homes)
        leave.set()


async def _run_until(home: Home, leave: asyncio.Event) -> None:
    async with home.running():
        await leave.wait()


async def test_started_before_its_console(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    await console.stop()
    async with home.running() as process:
        status = await _status_until(home, lambda said: "Nothing listens" in said["last_words"])
        assert status["connected"] is False
        await console.start()
        await console.connected()
        assert process.returncode is None


async def _status_until(home: Home, right) -> dict:
    async with asyncio.timeout(30):
        while True:
            told = await home.do("status", "--json")
            if told.out and right(said := json.loads(told.out)):
                return said
            await asyncio.sleep(0.2)


async def test_revoked_it_stops_and_says_so(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running() as process:
        link = await console.connected()
        await link.socket.close(code=4403)
        _, err = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 3
        assert b"This machine was removed in the console. Enrol again: shareai-node enroll" in err


async def test_unknown_to_its_console_it_goes_on_trying_slowly(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    console.keys.clear()
    async with home.running() as process:
        said = await _status_until(home, lambda said: "does not know this machine" in said["last_words"])
        assert not said["connected"]
        assert process.returncode is None
        assert console.tries == 1


async def test_when_the_console_moves_what_is_in_flight_goes_on(home: Home, console: Console):
    async with FaultUpstream(keys=[""], models=["fine"]) as upstream:
        upstream.manners.token_interval_s = 0.1
        await home.enroll(console, "--server", local(upstream))
        console.config["models"] = ["fine"]
        async with home.running():
            first = await console.connected()
            await first.until(ready)
            number, stream = await first.open(CHAT, faulty("fine", stream=True))
            pieces = first.pieces(number, stream)
            begun = await anext(pieces)
            first.go_away()
            second = await console.connected(2)
            await second.until(ready)
            assert (await second.ask(CHAT, faulty("fine")))[0] == 200
            rest = [piece async for piece in pieces]
            assert (begun + b"".join(rest)).endswith(b"data: [DONE]\n\n")
            async with asyncio.timeout(10):
                await first.closed.wait()
            assert not second.closed.is_set()


async def test_a_console_that_falls_silent_is_left(home: Home, console: Console, llama: str):
    console.heartbeat_s, console.dead_after_s = 0.2, 0.6
    await home.enroll(console, "--server", llama)
    async with _silent_between(console) as (port, silence):
        config = json.loads((home.folder / "config.json").read_text())
        config["connect_url"] = f"ws://127.0.0.1:{port}/nodes/v1/connect"
        (home.folder / "config.json").write_text(json.dumps(config))
        async with home.running():
            link = await console.connected()
            await link.until(ready)
            silence.set()
            said = await _status_until(home, lambda said: "went dead" in said["last_words"])
            assert not said["connected"]
            silence.clear()
            await console.connected(2)


@asynccontextmanager
async def _silent_between(console: Console):
    """A wire that can be told to swallow everything while both ends think it is open."""
    silence = asyncio.Event()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not silence.is_set():
                writer.write(data)
                await writer.drain()
        writer.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection("127.0.0.1", console.port)
        await asyncio.gather(pass_on(reader, here), pass_on(there, writer), return_exceptions=True)

    async with await asyncio.start_server(meet, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], silence


async def test_frozen_and_thawed_it_comes_back(home: Home, console: Console, llama: str):
    console.heartbeat_s, console.dead_after_s = 0.2, 1.0
    await home.enroll(console, "--server", llama)
    async with home.running() as process:
        link = await console.connected()
        await link.until(ready)
        process.send_signal(signal.SIGSTOP)
        await link.socket.close()  # as a console does after `dead_after_s`
        process.send_signal(signal.SIGCONT)
        again = await console.connected(2)
        await again.until(ready)
        assert (await again.ask(CHAT, HELLO))[0] == 200


async def test_it_keeps_up_the_heartbeat(home: Home, console: Console, llama: str):
    console.heartbeat_s, console.dead_after_s = 0.1, 5.0
    await home.enroll(console, "--server", llama)
    async with home.running():
        link = await console.connected()
        async with asyncio.timeout(10):
            while link.pings < 3:
                await asyncio.sleep(0.05)


async def test_killed_its_streams_break(home: Home, console: Console):
    async with FaultUpstream(keys=[""]) as upstream:
        await home.enroll(console, "--server", local(upstream))
        async with home.running() as process:
            link = await console.connected()
            await link.until(ready)
            number, stream = await link.open(CHAT, faulty("endless-tokens", stream=True))
            pieces = link.pieces(number, stream)
            await anext(pieces)
            process.kill()
            with pytest.raises(Broken):
                async for _ in pieces:
                    pass
        async with home.running():
            again = await console.connected(2)
            await again.until(ready)


async def test_it_connects_through_an_http_proxy(home: Home, console: Console, llama: str):
    asked = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        there, here = await asyncio.open_connection("127.0.0.1", console.port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pipe(reader, here), _pipe(there, writer))

    await home.enroll(console, "--server", llama)
    async with await asyncio.start_server(meet, "127.0.0.1", 0) as proxy:
        url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with home.running(https_proxy=url):
            link = await console.connected()
            await link.until(ready)
            assert (await link.ask(CHAT, HELLO))[0] == 200  # and the local server is asked without it
            console_place = f"127.0.0.1:{console.port}"
            assert asked == [f"CONNECT {console_place} HTTP/1.1".encode()]


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


def closed(code: int, reason: str = "") -> ConnectionClosedError:
    return ConnectionClosedError(Close(code, reason), None)


@pytest.mark.parametrize(
    ("error", "then", "least_wait_s", "said"),
    [
        (closed(4400), Next.RETRY, 10, "did not understand"),
        (closed(4401), Next.RETRY, 60, "Enrol again"),
        (closed(4403), Next.STOP, 0, "was removed"),
        (closed(4408), Next.RETRY, 10, "did not understand"),
        (closed(4409), Next.RETRY, 30, "Another copy"),
        (closed(4426), Next.RETRY, 60, "shareai-node upgrade"),
        (closed(1012), Next.SOON, 0, "restarts"),
        (closed(1001), Next.SOON, 0, "restarts"),
        (closed(1011, "oops"), Next.RETRY, 0, "(1011: oops)"),
        (ConnectionClosedError(None, None), Next.RETRY, 0, "(1006)"),
        (TimeoutError(), Next.RETRY, 0, "did not answer in time"),
        (ConnectionRefusedError(), Next.RETRY, 0, "Nothing listens"),
    ],
)
def test_what_an_end_means(error, then, least_wait_s, said):
    verdict = classify(error, CONFIG)
    assert (verdict.then, verdict.least_wait_s) == (then, least_wait_s)
    assert said in verdict.said
    assert "\n" not in verdict.said


class Away:
    """A console that is away, in a time of its own."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.backoff = Backoff(random.Random(1), lambda: self.now_s)

    def waited_s(self, lived_s: float = 0) -> float:
        self.now_s += lived_s
        self.backoff.lived(lived_s)
        wait_s = self.backoff.wait_s(Verdict(Next.RETRY, ""))
        self.now_s += wait_s
        return wait_s


def test_waits_grow_to_a_minute_and_are_anything_below():
    away, waits = Away(), []
    for _ in range(300):
        limit_s = max(0.5, (away.now_s - 1000) / 4)
        waits.append(away.waited_s())
        assert waits[-1] <= min(60, limit_s)
    assert max(waits[-200:]) > 55
    assert min(waits[-200:]) < 5


def test_a_connection_that_outlived_the_waits_before_it_was_a_good_one():
    away = Away()
    while away.now_s < 1040:
        away.waited_s()
    away.waited_s(lived_s=2)
    assert max(away.waited_s() for _ in range(20)) > 5
    assert away.waited_s(lived_s=31) <= 0.5
    assert away.waited_s() <= 0.5


def test_what_lets_in_and_drops_at_once_is_asked_ever_more_seldom():
    away = Away()
    assert max([away.waited_s(lived_s=0.1) for _ in range(100)][50:]) > 30


def test_a_wait_that_was_asked_for_is_the_least():
    backoff = Backoff(random.Random(1))
    assert 30 <= backoff.wait_s(Verdict(Next.RETRY, "", 30)) <= 30.5
    assert all(backoff.wait_s(Verdict(Next.SOON, "")) <= 2 for _ in range(50))


async def test_refused_streams_name_the_reason(home: Home, console: Console, llama: str):
    console.config["mode"] = "manual"
    await home.enroll(console, "--server", llama)
    async with home.running():
        link = await console.connected()
        said = await link.until(lambda said: said["state"]["mode"] == "manual")
        assert said["state"]["reason"] == "paused"
        with pytest.raises(Broken) as broken:
            await link.ask(CHAT, HELLO)
        assert (broken.value.code, broken.value.reason) == (Code.REFUSED_STREAM, "paused")
        link.settings(config={"mode": "always"})
        await link.until(ready)
