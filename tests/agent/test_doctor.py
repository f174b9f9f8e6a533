"""The doctor names what is wrong, in the order in which things depend on each other, and what to do."""

from __future__ import annotations

import json

from demo.llama import MODEL_ID
from tests.agent.conftest import Done, Home
from tests.agent.console import Console
from tests.agent.test_enroll import unused_port


def findings(done: Done) -> dict[str, tuple[str, str]]:
    return {one["about"]: (one["result"], one["said"]) for one in json.loads(done.out)}


async def test_not_enrolled(home: Home, llama: str):
    done = await home.do("doctor", "--json")
    found = findings(done)
    assert done.code == 1
    assert found["enrolment"][0] == "fail"
    assert "shareai-node enroll" in found["enrolment"][1]


async def test_all_is_well_before_the_agent_runs(home: Home, console: Console, llama: str):
    console.files["latest.json"] = json.dumps({"version": "0.0.1", "files": []}).encode()
    await home.enroll(console, "--server", llama)
    done = await home.do("doctor", "--json")
    found = findings(done)
    assert done.code == 0, done.out
    for about in ("enrolment", "key", "console", "clock", "connection", "models", "version"):
        assert found[about][0] == "ok", found[about]
    assert MODEL_ID in found["models"][1]
    assert "FAIL" not in (await home.do("doctor")).out


async def test_a_running_agent_keeps_its_connection(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running():
        link = await console.connected()
        await link.until(lambda said: said["state"]["accepting"])
        found = findings(await home.do("doctor", "--json"))
        assert found["connection"] == ("ok", "the running agent is connected and takes requests")
        assert len(console.links) == 1


async def test_what_is_wrong_is_named(home: Home, console: Console):
    port = unused_port()
    await home.enroll(console, "--server", f"http://127.0.0.1:{port}")
    (home.folder / "identity.key").chmod(0o644)
    console.keys.clear()
    done = await home.do("doctor", "--json")
    told = [(one["about"], one["result"]) for one in json.loads(done.out)]
    assert done.code == 1
    assert {("key", "fail"), ("connection", "fail"), ("models", "fail")} <= set(told)
    said = done.out
    assert "chmod 600" in said
    assert "does not know this machine" in said
    assert f"Nothing listens at http://127.0.0.1:{port}." in said


async def test_the_console_is_away(home: Home, console: Console):
    await home.enroll(console)
    await console.stop()
    found = findings(await home.do("doctor", "--json"))
    assert found["console"][0] == found["connection"][0] == "fail"
    assert "Nothing listens at" in found["console"][1]
