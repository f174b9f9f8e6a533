"""What the simulated provider refuses, and how its faults are switched."""

import signal
import subprocess
import sys

import httpx
import pytest
from openai import APIConnectionError, AuthenticationError, InternalServerError, NotFoundError, OpenAI

from tests.demo.conftest import KEYS, Running, bearer, user

MODEL = "aurora-large"


class TestRefusals:
    def test_a_wrong_key(self, aurora: Running) -> None:
        for call in ("models", "chat"):
            with OpenAI(base_url=aurora.base_url, api_key="wrong", max_retries=0) as sdk:
                with pytest.raises(AuthenticationError) as refused:
                    sdk.models.list() if call == "models" else sdk.chat.completions.create(model=MODEL, messages=[])
                assert (refused.value.code, refused.value.type) == ("invalid_api_key", "invalid_request_error")

    def test_each_key_is_accepted(self, aurora: Running) -> None:
        for key in KEYS:
            assert httpx.get(f"{aurora.base_url}/models", headers=bearer(key)).status_code == 200

    def test_an_unknown_model(self, sdk: OpenAI) -> None:
        with pytest.raises(NotFoundError) as refused:
            sdk.chat.completions.create(model="gpt-0", messages=[user("hi")])
        assert refused.value.code == "model_not_found"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("messages", []),
            ("messages", "hi"),
            ("n", 0),
            ("n", 1.5),
            ("max_tokens", -1),
            ("max_completion_tokens", True),
            ("stop", ["a", "b", "c", "d", "e"]),
            ("tools", "weather"),
            ("tools", [{"type": "function"}]),
            ("response_format", {"type": "yaml"}),
            ("model", 7),
        ],
    )
    def test_a_wrong_field_is_named(self, aurora: Running, field: str, value: object) -> None:
        asked = {"model": MODEL, "messages": [user("hi")]} | {field: value}
        answer = httpx.post(f"{aurora.base_url}/chat/completions", json=asked, headers=bearer())
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == field

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"n": NaN}', b"\xff"])
    def test_what_is_no_json_object(self, aurora: Running, body: bytes) -> None:
        answer = httpx.post(f"{aurora.base_url}/chat/completions", content=body, headers=bearer())
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"

    def test_an_unknown_path(self, aurora: Running) -> None:
        answer = httpx.post(f"{aurora.base_url}/images", json={}, headers=bearer())
        assert (answer.status_code, set(answer.json()["error"])) == (404, {"message", "type", "param", "code"})


class TestFaults:
    def test_by_model_name(self, sdk: OpenAI) -> None:
        with pytest.raises(InternalServerError):
            sdk.chat.completions.create(model="fault-500", messages=[user("hi")])
        with pytest.raises(APIConnectionError):
            sdk.chat.completions.create(model="fault-reset", messages=[user("hi")])
        stream = sdk.chat.completions.create(model="fault-cut-midstream", messages=[user("hi")], stream=True)
        chunks = list(stream)
        assert chunks
        assert all(chunk.choices[0].finish_reason is None for chunk in chunks)

    def test_switched_on_and_off_while_it_runs(self, aurora: Running, sdk: OpenAI) -> None:
        switched = httpx.post(f"{aurora.root_url}/_control", json={"fault": "503|reset-midstream", "share": 0.5})
        assert switched.json()["rules"] == {"*": {"fault": "503|reset-midstream", "share": 0.5}}
        outcomes = []
        for _ in range(4):
            try:
                list(sdk.chat.completions.create(model=MODEL, messages=[user("hi")], stream=True))
                outcomes.append("fine")
            except (InternalServerError, APIConnectionError) as error:
                outcomes.append(type(error).__name__)
        assert outcomes == ["fine", "InternalServerError", "fine", "APIConnectionError"]
        httpx.post(f"{aurora.root_url}/_control", json={"fault": None})
        assert sdk.chat.completions.create(model=MODEL, messages=[user("hi")]).choices
        assert httpx.get(f"{aurora.root_url}/_control").json()["rules"] == {}

    def test_an_answer_after_which_the_connection_ends_says_so(self, aurora: Running) -> None:
        """Else a client may send its next request into the closing connection and see a failure that nobody meant."""
        body = {"model": "fault-503", "messages": [user("hi")]}
        with httpx.Client(base_url=aurora.base_url, headers=bearer()) as client:
            refused = client.post("/chat/completions", json=body)
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")

    def test_for_one_model_only(self, aurora: Running, sdk: OpenAI) -> None:
        httpx.post(f"{aurora.root_url}/_control", json={"fault": "500", "model": "aurora/*"})
        assert sdk.chat.completions.create(model=MODEL, messages=[user("hi")]).choices
        with pytest.raises(InternalServerError):
            sdk.chat.completions.create(model="aurora/mini", messages=[user("hi")])

    def test_speed(self, aurora: Running) -> None:
        changed = httpx.post(f"{aurora.root_url}/_control", json={"first_token_s": 0.5, "tokens_per_second": 20})
        assert (changed.json()["first_token_s"], aurora.provider.token_interval_s) == (0.5, 0.05)

    @pytest.mark.parametrize(
        ("wish", "param"),
        [
            ({"fault": "stal", "first_token_s": 1}, "fault"),
            ({"fault": "500", "share": 2}, "fault"),
            ({"fault": "500", "share": "1/0"}, "fault"),
            ({"fault": "500", "tokens_per_second": 0}, "tokens_per_second"),
        ],
    )
    def test_a_wrong_wish_changes_nothing(self, aurora: Running, wish: dict[str, object], param: str) -> None:
        before = httpx.get(f"{aurora.root_url}/_control").json()
        refused = httpx.post(f"{aurora.root_url}/_control", json=wish)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
        assert httpx.get(f"{aurora.root_url}/_control").json() == before

    def test_no_page_in_a_browser_may_switch_them(self, aurora: Running) -> None:
        url = f"{aurora.root_url}/_control"
        assert httpx.post(url, json={"fault": "500"}, headers={"origin": "https://evil.example"}).status_code == 403
        assert httpx.post(url, content=b'{"fault": "500"}', headers={"content-type": "text/plain"}).status_code == 415
        assert aurora.provider.rules.as_dict() == {}


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_as_a_process(ending: signal.Signals) -> None:
    command = [sys.executable, "-m", "demo.simulated", "--name", "Borealis", "--key", "k", "--model", "m"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, base_url, name, label = process.stdout.readline().split()
        assert (word, name, label) == ("ready", "Borealis", "(simulated)")
        assert httpx.get(f"{base_url}/models", headers=bearer("k")).json()["data"][0]["id"] == "m"
        process.send_signal(ending)
        assert process.wait(timeout=10) == 0
