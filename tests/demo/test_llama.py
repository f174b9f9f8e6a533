"""The tiny llama is a real server: the official SDK talks to it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import jsonschema
import pytest
from openai import AuthenticationError, OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from demo.llama import MODEL_ID, model_path, running_llama

CITY = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "size": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["city", "size"],
    "additionalProperties": False,
}


def user(text: str) -> ChatCompletionUserMessageParam:
    return {"role": "user", "content": text}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def sdk(data_dir: Path) -> Iterator[OpenAI]:
    with running_llama(data_dir) as base_url, OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


def test_it_lists_its_model(sdk: OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == [MODEL_ID]


def test_it_speaks_in_words_and_counts_them(sdk: OpenAI) -> None:
    said = sdk.chat.completions.create(model=MODEL_ID, messages=[user("Tell me about the river.")], max_tokens=12)
    assert said.model == MODEL_ID
    assert said.usage is not None
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
    assert 0 < said.usage.completion_tokens <= 12
    words = (said.choices[0].message.content or "").split()
    assert words
    assert all(word.strip(".,!?").isalpha() for word in words)


def test_both_ends_of_an_answer(sdk: OpenAI) -> None:
    asked = [user("Go on.")]
    cut = sdk.chat.completions.create(model=MODEL_ID, messages=asked, max_tokens=1, seed=1)
    assert cut.choices[0].finish_reason == "length"
    reasons = {
        sdk.chat.completions.create(model=MODEL_ID, messages=asked, max_tokens=2_000, seed=seed)
        .choices[0]
        .finish_reason
        for seed in range(3)
    }
    assert "stop" in reasons


def test_a_stream_ends_with_usage(sdk: OpenAI) -> None:
    stream = sdk.chat.completions.create(
        model=MODEL_ID,
        messages=[user("hi")],
        max_tokens=8,
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = list(stream)
    told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert told.strip()
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    assert last.usage is not None
    assert 0 < last.usage.completion_tokens <= 8


def test_the_stream_ends_with_done(sdk: OpenAI) -> None:
    asked = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "stream": True}
    assert httpx.post(f"{sdk.base_url}chat/completions", json=asked).text.endswith("data: [DONE]\n\n")


def test_completions(sdk: OpenAI) -> None:
    said = sdk.completions.create(model=MODEL_ID, prompt="The river", max_tokens=4)
    assert said.usage is not None
    assert said.choices[0].text.strip()


def test_embeddings_beside_chat(sdk: OpenAI) -> None:
    texts = ["the river", "the mountain", "the river"]
    river, mountain, again = (row.embedding for row in sdk.embeddings.create(model=MODEL_ID, input=texts).data)
    assert len(river) == 64
    assert river == pytest.approx(again, abs=1e-3)
    assert river != pytest.approx(mountain, abs=1e-3)
    plain = sdk.embeddings.create(model=MODEL_ID, input=texts[:1], encoding_format="float").data[0].embedding
    assert plain == pytest.approx(river, abs=1e-3)


def test_a_json_schema_is_kept(sdk: OpenAI) -> None:
    for seed in range(5):
        said = sdk.chat.completions.create(
            model=MODEL_ID,
            messages=[user("A city, please.")],
            response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}},
            max_tokens=400,
            seed=seed,
        )
        jsonschema.validate(json.loads(said.choices[0].message.content or ""), CITY)


def test_a_key_when_one_is_set(data_dir: Path) -> None:
    with running_llama(data_dir, keys=["sk-tiny"], model_id="acme/tiny") as base_url:
        asked = [user("hi")]
        with OpenAI(base_url=base_url, api_key="wrong", max_retries=0) as sdk:
            with pytest.raises(AuthenticationError):
                sdk.chat.completions.create(model="acme/tiny", messages=asked, max_tokens=1)
            right = sdk.with_options(api_key="sk-tiny")
            assert right.chat.completions.create(model="acme/tiny", messages=asked, max_tokens=1).model == "acme/tiny"


def test_the_model_file_is_small_and_the_same_each_time(tmp_path: Path) -> None:
    first, second = model_path(tmp_path / "a"), model_path(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 700_000
    written_at = first.stat().st_mtime_ns
    assert model_path(tmp_path / "a").stat().st_mtime_ns == written_at


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_as_a_process(data_dir: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-m", "demo.llama", "--data-dir", str(data_dir), "--model-id", "acme/tiny"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, base_url, model_id = process.stdout.readline().split()
        assert (word, model_id) == ("ready", "acme/tiny")
        assert httpx.get(f"{base_url}/models").json()["data"][0]["id"] == "acme/tiny"
        process.send_signal(ending)
        assert process.wait(timeout=10) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{base_url}/models")


def test_a_taken_port_is_an_error(data_dir: Path) -> None:
    with running_llama(data_dir) as base_url:
        port = httpx.URL(base_url).port
        with pytest.raises(RuntimeError), running_llama(data_dir, port=port or 0):
            pass
