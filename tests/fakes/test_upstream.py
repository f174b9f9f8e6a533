"""The fault server as a tool of tests: starting it, setting its faults, reading its log."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import orjson
import pytest
from openai import AsyncOpenAI, AuthenticationError, NotFoundError, OpenAI

from demo.faults import MENU
from tests.fakes.upstream import KEY, FaultUpstream, refusing_url
from tests.fakes.wirelog import End, WireLog, read_log, settled
from tests.fakes.wiretap import connect, events, read_all, request_bytes, tap, text_of

ANSWER = "This is a simulated answer from Fault. No model was asked. You said: hello there"


def client(upstream: FaultUpstream) -> OpenAI:
    return OpenAI(base_url=upstream.base_url, api_key=KEY, max_retries=0)


class TestRightAnswers:
    def test_whole(self, upstream: FaultUpstream) -> None:
        seen = tap(upstream, "ok", stream=False)
        assert (seen.status, seen.end) == (200, "eof")
        assert seen.json["choices"][0]["message"]["content"] == ANSWER
        assert upstream.log.last.sent_tokens == seen.json["usage"]["completion_tokens"]
        assert upstream.log.last.usage == seen.json["usage"]

    def test_stream(self, upstream: FaultUpstream) -> None:
        seen = tap(upstream, "ok", stream=True)
        assert seen.rest.endswith(b"0\r\n\r\n")
        assert events(seen.body)[-1] == b"[DONE]"
        assert text_of(seen.body) == ANSWER
        usage = orjson.loads(events(seen.body)[-2])["usage"]
        assert usage["completion_tokens"] == upstream.log.last.sent_tokens > 0
        assert upstream.log.last.usage == usage
        assert upstream.log.last.end is End.COMPLETED

    def test_other_names_are_served_when_configured(self) -> None:
        with FaultUpstream(models=["gpt-5"]) as own, client(own) as sdk:
            said = sdk.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "hi"}])
            assert "simulated answer" in (said.choices[0].message.content or "")
            assert "gpt-5" in [model.id for model in sdk.models.list()]
            with pytest.raises(NotFoundError):
                sdk.chat.completions.create(model="stal", messages=[{"role": "user", "content": "hi"}])

    async def test_on_the_running_loop(self) -> None:
        async with FaultUpstream() as own, httpx.AsyncClient() as http:
            answer = await http.get(f"{own.base_url}/models", headers={"authorization": f"Bearer {KEY}"})
            await own.log.until(settled)
        assert {model["id"] for model in answer.json()["data"]} == set(MENU)
        assert own.log.last.method == "GET"

    def test_started_again_it_keeps_its_port(self) -> None:
        own = FaultUpstream()
        with own:
            first_url = own.base_url
        with pytest.raises(httpx.ConnectError):
            httpx.get(first_url)
        with own:
            assert own.base_url == first_url
            assert httpx.get(f"{first_url}/models").status_code == 401


class TestControl:
    def test_the_share_is_exact_and_predictable(self, upstream: FaultUpstream) -> None:
        statuses = [tap(upstream, "500@0.3", stream=False).status for _ in range(10)]
        assert [nth for nth, status in enumerate(statuses) if status == 500] == [3, 6, 9]

    def test_a_rule_beats_the_model_name_until_it_is_cleared(self, upstream: FaultUpstream) -> None:
        upstream.fail("503|empty@0.5")
        for _ in range(8):
            tap(upstream, "ok", stream=True)
        faults = [exchange.fault for exchange in upstream.log]
        assert faults == ["ok", "503", "ok", "empty"] * 2
        upstream.heal()
        assert tap(upstream, "ok", stream=False).status == 200

    def test_an_unknown_fault_is_refused(self, upstream: FaultUpstream) -> None:
        with pytest.raises(ValueError, match="stal"):
            upstream.fail("stal")
        with pytest.raises(ValueError, match="share"):
            upstream.fail("stall@3")

    def test_a_revoked_key(self, upstream: FaultUpstream) -> None:
        upstream.keys.add("second")
        upstream.keys.discard(KEY)
        with client(upstream) as sdk:
            with pytest.raises(AuthenticationError) as refused:
                sdk.models.list()
            assert refused.value.code == "invalid_api_key"
            assert len(list(sdk.with_options(api_key="second").models.list())) == len(MENU)
        assert [exchange.key for exchange in upstream.log] == [KEY, "second"]

    def test_a_model_list_out_of_order(self, upstream: FaultUpstream) -> None:
        upstream.models_status = 500
        answer = httpx.get(f"{upstream.base_url}/models", headers={"authorization": f"Bearer {KEY}"})
        assert answer.status_code == 500

    def test_a_refusing_port(self) -> None:
        with refusing_url() as url, pytest.raises(httpx.ConnectError):
            httpx.get(url)


class TestLog:
    def test_it_keeps_what_was_asked(self, upstream: FaultUpstream) -> None:
        with client(upstream) as sdk:
            for word in ("sentinel-1", "sentinel-2"):
                sdk.chat.completions.create(
                    model="ok", messages=[{"role": "user", "content": word}], extra_headers={"x-mark": word}
                )
        upstream.log.wait_until(settled)
        first, second = upstream.log
        assert (first.prompt, second.prompt) == ("sentinel-1", "sentinel-2")
        assert second.headers["x-mark"] == "sentinel-2"
        assert second.body["model"] == second.model == "ok"
        assert first.connection == second.connection
        assert second.text.endswith("sentinel-2")

    async def test_many_at_once_are_kept_apart(self) -> None:
        async with FaultUpstream() as own, AsyncOpenAI(base_url=own.base_url, api_key=KEY, max_retries=0) as sdk:

            async def ask(word: str) -> str:
                said = await sdk.chat.completions.create(model="ok", messages=[{"role": "user", "content": word}])
                return said.choices[0].message.content or ""

            words = [f"sentinel-{number}" for number in range(200)]
            answers = await asyncio.gather(*(ask(word) for word in words))
            await own.log.until(settled)
        assert all(answer.endswith(f" {word}") for answer, word in zip(answers, words, strict=True))
        assert {exchange.prompt: exchange.text for exchange in own.log} == dict(zip(words, answers, strict=True))

    def test_it_sees_the_client_leave(self, upstream: FaultUpstream) -> None:
        with client(upstream) as sdk:
            stream = sdk.chat.completions.create(
                model="endless-tokens", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            next(iter(stream))
            stream.close()
        upstream.log.wait_until(settled)
        exchange = upstream.log.last
        assert exchange.end is End.CLIENT_LEFT
        assert exchange.received_at <= (exchange.first_sent_at or 0) <= (exchange.client_left_at or 0)

    def test_waiting_for_what_never_comes_fails(self) -> None:
        with pytest.raises(TimeoutError):
            WireLog().wait_until(lambda log: len(log) > 0, timeout_s=0.01)

    def test_a_stopped_server_breaks_what_is_open(self) -> None:
        with FaultUpstream() as own, connect(own.base_url) as line:
            line.sendall(request_bytes("stall", stream=True))
            own.log.wait_until(lambda log: bool(len(log)) and log.last.sent_tokens > 0)
            own.close()
            assert read_all(line, own.log).end == "reset"
        assert own.log.last.end is End.STOPPED


def test_as_a_process(tmp_path: Path) -> None:
    log_path = tmp_path / "wire.jsonl"
    command = [sys.executable, "-m", "tests.fakes.upstream", "--log", str(log_path), "--model", "own"]
    asked = {"model": "own", "messages": [{"role": "user", "content": "sentinel"}]}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, base_url = process.stdout.readline().split()
        assert word == "ready"
        root_url = base_url.removesuffix("/v1")
        http = httpx.Client(headers={"authorization": "Bearer second"})
        assert http.post(f"{root_url}/_control", json={"fault": "500@0.5", "keys": ["second"]}).status_code == 200
        statuses = [http.post(f"{base_url}/chat/completions", json=asked).status_code for _ in range(4)]
        assert statuses == [200, 500, 200, 500]
        assert http.post(f"{root_url}/_control", json={"fault": "stal"}).status_code == 400
        assert http.post(f"{root_url}/_control", json={"manners": {"dely_s": 1}}).status_code == 400
        shown = http.get(f"{root_url}/_log").json()
        assert [exchange["status"] for exchange in shown] == statuses
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    written = read_log(log_path)
    assert [(e["status"], e["key"], e["body"], e["end"]) for e in written] == [
        (status, "second", asked, "completed") for status in statuses
    ]
