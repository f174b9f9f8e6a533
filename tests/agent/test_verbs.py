"""What the owner says to a running agent, and what becomes of the requests meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from demo.llama import MODEL_ID
from shareai_node.tunnel.errors import Code
from tests.agent.conftest import Home
from tests.agent.console import Broken, Console
from tests.agent.test_serving import CHAT, HELLO, faulty, local, ready
from tests.fakes.upstream import FaultUpstream


async def test_pause_and_resume(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        assert (await home.do("pause")).code == 0
        said = await link.until(lambda said: not said["state"]["accepting"])
        assert said["state"]["reason"] == "paused"
        with pytest.raises(Broken) as broken:
            await link.ask(CHAT, HELLO)
        assert (broken.value.code, broken.value.reason) == (Code.REFUSED_STREAM, "paused")
        assert (await home.do("resume")).out == "Resumed.\n"
        await link.until(ready)
        assert (await link.ask(CHAT, HELLO))[0] == 200


async def test_a_pause_outlives_a_restart(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    paused = await home.do("pause")
    assert "does not run now" in paused.out
    async with home.running():
        link = await console.connected()
        said = await link.until(lambda said: bool(said["state"]))
        assert said["state"]["reason"] == "paused"


async def test_drain_waits_for_what_is_in_flight(home: Home, console: Console, faults: FaultUpstream):
    await home.enroll(console, "--server", local(faults))
    console.config["models"] = ["fine", "endless-tokens"]
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        number, stream = await link.open(CHAT, faulty("endless-tokens", stream=True))
        await anext(aiter(link.pieces(number, stream)))
        early = await home.do("drain", "--timeout", "0")
        assert early.line.startswith("1 requests are still in flight.")
        draining = asyncio.create_task(home.do("drain"))
        await link.until(lambda said: said["state"]["reason"] == "draining")
        link.cancel(number)
        assert (await draining).out.startswith("Drained:")


async def test_an_end_lets_the_request_in_flight_finish(home: Home, console: Console, faults: FaultUpstream):
    faults.manners.token_interval_s = 0.05
    await home.enroll(console, "--server", local(faults))
    console.config["models"] = ["fine"]
    async with home.running() as process:
        link = await console.connected()
        await link.until(ready)
        number, stream = await link.open(CHAT, faulty("fine", stream=True))
        pieces = link.pieces(number, stream)
        first = await anext(pieces)
        process.send_signal(signal.SIGTERM)
        rest = [piece async for piece in pieces]
        assert (first + b"".join(rest)).endswith(b"data: [DONE]\n\n")
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert link.going_away is not None


async def test_status_for_people_and_for_machines(home: Home, console: Console, llama: str):
    assert (await home.do("status")).code == 3
    await home.enroll(console, "--server", llama)
    assert (await home.do("status")).code == 4
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        told = await home.do("status")
        assert told.code == 0
        assert "Takes requests." in told.out
        assert MODEL_ID in told.out
        said = json.loads((await home.do("status", "--json")).out)
        assert (said["connected"], said["node"], said["generation"]) == (True, "node_1", 1)


async def test_one_agent_at_a_time(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running() as process:
        await console.connected()
        second = await home.do("run")
        assert second.code == 1
        assert second.line == f"The agent runs already (process {process.pid}). Stop it first."


async def test_secrets_are_in_no_log(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running(SHAREAI_NODE_LOG_LEVEL="debug"):
        link = await console.connected()
        await link.until(ready)
        await link.ask(CHAT, {**HELLO, "messages": [{"role": "user", "content": "my secret prompt"}]})
        control = json.loads((home.folder / "control.json").read_text())
    text = (await home.do("logs", "-n", "1000")).out
    assert "connected to" in text
    key = (home.folder / "identity.key").read_text().splitlines()[1]
    for secret in ("sai-node-", "my secret prompt", control["token"], key):
        assert secret not in text
