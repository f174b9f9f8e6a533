"""The running agent's own door: nobody without its token gets a word, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from shareai_node import control
from shareai_node.control import Control
from shareai_node.errors import AgentError, NotRunning
from tests.agent.conftest import Home, clean_environment
from tests.agent.console import Console


async def echo(question: dict) -> dict:
    if question["verb"] == "fail":
        raise AgentError("That cannot be. Do something else.")
    return question


@pytest.fixture
async def path(tmp_path: Path):
    door = Control(tmp_path / "control.json", echo)
    await door.start()
    yield tmp_path / "control.json"
    await door.stop()


async def ask(path: Path, verb: str, **more: object) -> dict:
    return await asyncio.to_thread(control.ask, path, verb, **more)


async def test_question_and_answer(path):
    assert await ask(path, "status", within_s=3) == {"verb": "status", "within_s": 3}
    with pytest.raises(AgentError, match="Do something else"):
        await ask(path, "fail")


async def test_only_its_owner_can_read_the_token(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "said",
    [b"", b"\n", b"{}\n", b"[]\n", b'{"token": 1}\n', b'{"token": "guess", "verb": "status"}\n', b"GET / HTTP/1.1\n"],
)
async def test_a_stranger_gets_no_answer(path, said):
    port = json.loads(path.read_text())["port"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


async def test_a_line_without_end_is_dropped(path):
    port = json.loads(path.read_text())["port"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x" * 100_000)
    try:
        assert await reader.read() == b""
    except ConnectionError:
        pass  # closed with our bytes unread
    writer.close()


async def test_nobody_is_there(tmp_path):
    path = tmp_path / "control.json"
    with pytest.raises(NotRunning):
        await ask(path, "status")
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as other:
        path.write_text(json.dumps({"port": other.sockets[0].getsockname()[1], "token": "t"}))
        with pytest.raises(NotRunning):
            await ask(path, "status")
    with pytest.raises(NotRunning):
        await ask(path, "status")


async def test_what_a_killed_agent_leaves_does_not_stop_the_next(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running() as process:
        await console.connected()
        process.kill()
    assert (home.folder / "control.json").exists()
    assert (await home.do("status")).code == 4
    async with home.running():
        await console.connected(2)
    assert not (home.folder / "control.json").exists()


async def test_a_server_named_while_it_runs(home: Home, console: Console, llama: str):
    await home.enroll(console)
    async with home.running():
        link = await console.connected()
        said = await link.until(lambda said: not said["state"]["accepting"])
        assert said["state"]["reason"] == "no_local_server"
        assert (await home.do("server", "add", llama)).code == 0
        await link.until(lambda said: said["state"]["accepting"])
        assert llama in (await home.do("server", "list")).out
        assert (await home.do("server", "remove", llama)).code == 0
        await link.until(lambda said: not said["state"]["accepting"])
    again = await home.do("server", "remove", llama)
    assert "is not among the servers" in again.line
    assert "is not on this machine" in (await home.do("server", "add", "http://8.8.8.8")).line


async def test_logs_follow(home: Home, console: Console, llama: str):
    assert "There is no log yet" in (await home.do("logs")).line
    await home.enroll(console, "--server", llama)
    async with home.running():
        await console.connected()
        following = await asyncio.create_subprocess_exec(
            *home.command("logs", "-n", "0", "-f"),
            stdout=asyncio.subprocess.PIPE,
            cwd=home.folder.parent,
            env=clean_environment(),
        )
        assert following.stdout is not None
        line = asyncio.create_task(following.stdout.readline())
        async with asyncio.timeout(30):
            while not line.done():  # until it has begun to look, nothing is new to it
                await home.do("pause")
                await home.do("resume")
        assert b"takes" in line.result()
        following.terminate()
        await following.wait()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SHAREAI_NODE_DISCOVER", "maybe", "neither 0 nor 1"),
        ("SHAREAI_NODE_LOG_LEVEL", "loud", "is none of debug"),
        ("SHAREAI_NODE_SERVERS", "ftp://10.0.0.1", "base URL alone"),
    ],
)
async def test_a_wrong_variable_is_named(home: Home, console: Console, name, value, said):
    await home.enroll(console)
    assert said in (await home.do("status", **{name: value})).line


@pytest.mark.parametrize("text", ["", "[]", "{", '{"console": 1}', '{"console":"a","connect_url":"b","node":""}'])
async def test_a_damaged_configuration_is_one_line(home: Home, console: Console, text):
    await home.enroll(console)
    (home.folder / "config.json").write_text(text)
    assert "is damaged" in (await home.do("status")).line
    assert "enrol again" in (await home.do("run")).line


async def test_the_environment_names_servers_for_one_run(home: Home, console: Console, llama: str):
    await home.enroll(console)
    async with home.running(SHAREAI_NODE_SERVERS=llama):
        link = await console.connected()
        await link.until(lambda said: said["state"]["accepting"])


async def test_run_enrols_first_where_it_is_told_to(home: Home, console: Console, llama: str, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("sai-node-good-token-1")
    words = ("--console", console.origin, "--token-file", str(token), "--server", llama, "--no-discover")
    async with home.running(*words):
        await console.connected()
    token.unlink()
    async with home.running(*words):
        await console.connected(2)
