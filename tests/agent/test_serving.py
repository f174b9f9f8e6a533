"""A real agent process between a small console and real local servers."""

from __future__ import annotations

import asyncio
import json

import pytest

from demo.llama import MODEL_ID
from shareai_node.tunnel import frames
from shareai_node.tunnel.errors import Code
from tests.agent.conftest import Home
from tests.agent.console import Broken, Console
from tests.fakes.upstream import FaultUpstream

CHAT = "/v1/chat/completions"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HELLO = {"model": MODEL_ID, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}


def ready(said: dict) -> bool:
    return said["state"]["accepting"] and bool(said["models"])


def faulty(model: str, **more: object) -> dict:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}


def local(upstream: FaultUpstream) -> str:
    return upstream.base_url.removesuffix("/v1")


async def test_from_start_to_a_served_request(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running():
        link = await console.connected()
        said = await link.until(ready)
        assert [(model["id"], model["runtime"]) for model in said["models"]] == [(MODEL_ID, "llamacpp")]
        assert said["local_server"] == {
            "ok": True,
            "base_url": llama,
            "runtime": "llamacpp",
            "error": None,
            "trouble": "",
        }
        assert said["state"] == {"mode": "always", "accepting": True, "reason": None, "detail": None}
        status, body = await link.ask(CHAT, HELLO)
        assert status == 200
        assert json.loads(body)["usage"]["completion_tokens"] <= 4


async def test_it_connects_without_cookies_origin_or_compression(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running():
        await console.connected()
    [sent] = console.headers
    assert not {"origin", "cookie", "sec-websocket-extensions"} & sent.keys()
    assert sent["sec-websocket-protocol"] == "shareai.node.v1"


async def test_a_stream_comes_piece_by_piece(home: Home, console: Console, faults: FaultUpstream):
    faults.manners.token_interval_s = 0.02
    await home.enroll(console, "--server", local(faults))
    console.config["models"] = ["fine"]
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        number, stream = await link.open(CHAT, faulty("fine", stream=True))
        pieces = [piece async for piece in link.pieces(number, stream)]
        assert len(pieces) > 5
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert b"".join(pieces).endswith(b"data: [DONE]\n\n")


async def test_a_real_servers_stream(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        status, body = await link.ask(CHAT, {**HELLO, "max_tokens": 32, "stream": True})
        assert status == 200
        assert body.endswith(b"data: [DONE]\n\n")


async def test_embeddings_completions_and_the_list(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        _, embedded = await link.ask("/v1/embeddings", {"model": MODEL_ID, "input": "hi"})
        assert len(json.loads(embedded)["data"][0]["embedding"]) == 64
        _, completed = await link.ask("/v1/completions", {"model": MODEL_ID, "prompt": "hi", "max_tokens": 1})
        assert json.loads(completed)["choices"][0]["text"] is not None
        _, listed = await link.ask("/v1/models", method="GET")
        assert [model["id"] for model in json.loads(listed)["data"]] == [MODEL_ID]


async def test_what_was_probed_is_told(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running():
        link = await console.connected()
        said = await link.until(lambda said: said["models"][0]["measured"]["tokens_per_s"] is not None, within_s=60)
    [model] = said["models"]
    assert model["capabilities"] == {
        "chat": True,
        "completions": True,
        "embeddings": True,
        "json_schema": True,
        "tools": False,
        "vision": False,
    }
    assert model["measured"]["first_token_ms"] > 0
    assert model["context"] > 0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/props", None),
        ("POST", "/v1/chat/completions/../../props", HELLO),
        ("POST", "/v1/chat/completions?x=1", HELLO),
        ("POST", "http://127.0.0.1:22/v1/chat/completions", HELLO),
        ("POST", "//evil.example/v1/chat/completions", HELLO),
        ("DELETE", "/v1/models", None),
        ("GET", "/v1/chat/completions", None),
        ("POST", CHAT, {**HELLO, "model": "another"}),
        ("POST", CHAT, {"messages": []}),
        ("POST", CHAT, {**HELLO, "Model": "another"}),
        ("POST", CHAT, b"not json"),
        ("POST", CHAT, None),
    ],
)
async def test_nothing_but_the_fixed_paths_and_the_offered_models(
    home: Home, console: Console, faults: FaultUpstream, method, path, body
):
    faults.models.append(MODEL_ID)
    await home.enroll(console, "--server", local(faults))
    console.config["models"] = [MODEL_ID]
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        with pytest.raises(Broken) as broken:
            await link.ask(path, body, method)
        assert broken.value.code is Code.NOT_ALLOWED
        assert {one.model for one in faults.log} <= {MODEL_ID, ""}  # its own probes alone


async def test_what_is_not_ticked_is_told_and_not_served(home: Home, console: Console, faults: FaultUpstream):
    await home.enroll(console, "--server", local(faults))
    console.config["models"] = ["fine"]
    async with home.running():
        link = await console.connected()
        said = await link.until(ready)
        assert {"fine", "ok"} <= {model["id"] for model in said["models"]}
        assert (await link.ask(CHAT, faulty("fine")))[0] == 200
        with pytest.raises(Broken) as broken:
            await link.ask(CHAT, faulty("ok"))
        assert broken.value.code is Code.NOT_ALLOWED
        link.settings(config={"models": ["ok"]})
        await link.until(lambda said: True)
        async with asyncio.timeout(10):
            while True:
                try:
                    assert (await link.ask(CHAT, faulty("ok")))[0] == 200
                    break
                except Broken:
                    continue


async def test_the_local_key_is_added_here_and_no_header_slips_through(home: Home, console: Console, tmp_path):
    async with FaultUpstream(keys=["sk-local"], models=["fine"]) as upstream:
        (tmp_path / "key").write_text("sk-local\n")
        await home.enroll(console, "--server", local(upstream), "--server-key-file", str(tmp_path / "key"))
        console.config["models"] = ["fine"]
        async with home.running():
            link = await console.connected()
            await link.until(ready)
            number, stream = await link.open(
                CHAT,
                faulty("fine"),
                authorization="Bearer stolen",
                cookie="a=b",
                host="evil.example",
                traceparent=TRACEPARENT,
            )
            assert [piece async for piece in link.pieces(number, stream)]
        # Beside the agent's own probes.
        [sent] = [one.headers for one in upstream.log if "traceparent" in one.headers]
        assert sent["authorization"] == "Bearer sk-local"
        assert sent["host"] == f"127.0.0.1:{upstream.port}"
        assert "cookie" not in sent
        assert sent["traceparent"] == TRACEPARENT
        assert set(stream.headers) <= {"content-type", "content-length", "retry-after"}


async def test_an_error_of_the_local_server_is_passed_on(home: Home, console: Console, faults: FaultUpstream):
    await home.enroll(console, "--server", local(faults))
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        status, body = await link.ask(CHAT, faulty("503-retry-after"))
        assert status == 503
        assert json.loads(body)["error"]


async def test_a_redirect_of_the_local_server_leads_nowhere(home: Home, console: Console, faults: FaultUpstream):
    await home.enroll(console, "--server", local(faults))
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        number, stream = await link.open(CHAT, faulty("redirect-metadata"))
        async for _ in link.pieces(number, stream):
            pass
        assert 300 <= (stream.status or 0) < 400
        assert "location" not in stream.headers


async def test_a_server_that_breaks_off_before_and_after_its_first_byte(
    home: Home, console: Console, faults: FaultUpstream
):
    await home.enroll(console, "--server", local(faults))
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        with pytest.raises(Broken) as before:
            await link.ask(CHAT, faulty("reset"))
        assert before.value.code is Code.LOCAL_UNREACHABLE
        number, stream = await link.open(CHAT, faulty("reset-midstream", stream=True))
        with pytest.raises(Broken) as after:
            async for _ in link.pieces(number, stream):
                pass
        assert stream.status == 200
        assert after.value.code is Code.LOCAL_UNREACHABLE


async def test_a_server_that_goes_away_and_comes_back(home: Home, console: Console, faults: FaultUpstream):
    await home.enroll(console, "--server", local(faults))
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        await faults.stop()
        with pytest.raises(Broken) as broken:
            await link.ask(CHAT, faulty("fine"))
        assert broken.value.code is Code.LOCAL_UNREACHABLE
        said = await link.until(lambda said: not said["state"]["accepting"])
        assert said["state"]["reason"] == "no_local_server"
        assert "Nothing listens at" in said["local_server"]["error"]
        with pytest.raises(Broken) as refused:
            await link.ask(CHAT, faulty("fine"))
        assert refused.value.code is Code.REFUSED_STREAM
        await faults.start()
        await link.until(ready)
        assert (await link.ask(CHAT, faulty("fine")))[0] == 200


async def test_a_cancelled_request_is_broken_off_at_the_local_server(
    home: Home, console: Console, faults: FaultUpstream
):
    await home.enroll(console, "--server", local(faults))
    console.config["models"] = ["fine", "endless-tokens"]
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        number, stream = await link.open(CHAT, faulty("endless-tokens", stream=True))
        await anext(aiter(link.pieces(number, stream)))
        link.cancel(number)
        await asyncio.to_thread(
            faults.log.wait_until,
            lambda log: any(one.model == "endless-tokens" and one.end is not None for one in log),
        )
        assert (await link.ask(CHAT, faulty("fine")))[0] == 200


async def test_a_reader_who_stops_holds_up_nobody_else(home: Home, console: Console, faults: FaultUpstream):
    await home.enroll(console, "--server", local(faults))
    console.config["models"] = ["fine", "endless-tokens"]
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        number, _ = await link.open(CHAT, faulty("endless-tokens", stream=True))  # never read
        for _ in range(5):
            assert (await link.ask(CHAT, faulty("fine")))[0] == 200
        log = [one for one in faults.log if one.model == "endless-tokens"]
        sent_bytes = log[-1].sent_bytes
        assert sent_bytes < 8 << 20
        link.cancel(number)  # else the agent waits for its end before its own


async def test_sixty_four_at_once(home: Home, console: Console, faults: FaultUpstream):
    await home.enroll(console, "--server", local(faults))
    console.config["models"] = ["fine"]
    async with home.running():
        link = await console.connected()
        await link.until(ready)
        marks = [f"mark-{number}-" + "x" * (number * 1000) for number in range(64)]
        asked = [faulty("fine", user=mark) for mark in marks]
        answers = await asyncio.gather(*(link.ask(CHAT, body) for body in asked))
        assert {status for status, _ in answers} == {200}
        received = {one.body["user"] for one in faults.log if one.body and "user" in one.body}
        assert received == set(marks)


async def test_more_than_it_may_take_waits_and_what_is_too_much_is_refused(
    home: Home, console: Console, faults: FaultUpstream
):
    await home.enroll(console, "--server", local(faults))
    console.config |= {"models": ["fine", "endless-tokens"], "max_concurrent": 1}
    async with home.running():
        link = await console.connected()
        await link.until(lambda said: ready(said) and said["models"] is not None)
        number, stream = await link.open(CHAT, faulty("endless-tokens", stream=True))
        await anext(aiter(link.pieces(number, stream)))
        waiting, answer = await link.open(CHAT, faulty("fine", user="waits"))
        with pytest.raises(Broken) as broken:
            await link.ask(CHAT, faulty("fine"))
        assert (broken.value.code, broken.value.reason) == (Code.REFUSED_STREAM, "full")
        assert not answer.begun.is_set()
        link.cancel(number)
        assert [piece async for piece in link.pieces(waiting, answer)]
        assert answer.status == 200
        assert [one.body["user"] for one in faults.log if one.body and "user" in one.body] == ["waits"]


async def test_one_that_is_asked_in_favour_of_another_gets_its_slot(
    home: Home, console: Console, faults: FaultUpstream
):
    """Broken off and begun in one piece, as the console writes them."""
    await home.enroll(console, "--server", local(faults))
    console.config |= {"models": ["fine", "endless-tokens"], "max_concurrent": 1}
    async with home.running():
        link = await console.connected()
        await link.until(lambda said: ready(said) and said["models"] is not None)
        for _ in range(20):
            number, stream = await link.open(CHAT, faulty("endless-tokens", stream=True))
            await anext(aiter(link.pieces(number, stream)))
            link.cancel(number)
            assert (await link.ask(CHAT, faulty("fine")))[0] == 200


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0" * 8,
        frames.encode(99, 0, 0, b""),
        frames.encode(frames.DATA, 0, 77, b"x"),
        frames.encode(frames.HEADERS, 0, 2, b"{}"),
        frames.encode(frames.SETTINGS, 0, 0, b"not json"),
        frames.encode(frames.WINDOW_UPDATE, 0, 0, b"\xff\xff\xff\xff"),
    ],
    ids=["empty", "short", "unknown", "never opened", "even", "settings", "credit"],
)
async def test_a_console_that_breaks_the_protocol_loses_the_connection_and_nothing_else(
    home: Home, console: Console, llama: str, frame: bytes
):
    await home.enroll(console, "--server", llama)
    async with home.running() as process:
        link = await console.connected()
        await link.until(ready)
        link.raw(frame)
        async with asyncio.timeout(10):
            await link.closed.wait()
        assert process.returncode is None
