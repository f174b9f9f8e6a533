"""The simulated provider answers the official SDK as a real one does, and says that it is simulated."""

import json

import httpx
import jsonschema
import pytest
from openai import NotFoundError, OpenAI
from openai.types.chat import ChatCompletionAssistantMessageParam, ChatCompletionToolParam

from tests.demo.conftest import Running, bearer, user

MODEL = "aurora-large"
WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "kelvin"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}


def tool(name: str) -> ChatCompletionToolParam:
    return {"type": "function", "function": {"name": name, "parameters": dict(WEATHER_SCHEMA)}}


class TestChat:
    def test_it_says_that_it_is_simulated(self, sdk: OpenAI) -> None:
        said = sdk.chat.completions.create(model=MODEL, messages=[user("Where is Chiang Mai? ไทย")])
        (choice,) = said.choices
        assert choice.message.content == (
            "This is a simulated answer from Aurora. No model was asked. You said: Where is Chiang Mai? ไทย"
        )
        assert (choice.finish_reason, choice.logprobs, said.model) == ("stop", None, MODEL)
        assert said.system_fingerprint == "fp_aurora"

    def test_the_same_question_has_the_same_answer_under_another_id(self, sdk: OpenAI) -> None:
        first, second = (sdk.chat.completions.create(model=MODEL, messages=[user("hi")]) for _ in range(2))
        assert first.choices == second.choices
        assert first.id != second.id

    def test_usage_adds_up(self, sdk: OpenAI) -> None:
        said = sdk.chat.completions.create(model=MODEL, messages=[user("[[cached:3]] [[tokens:40]] hi")])
        assert said.usage is not None
        assert said.usage.completion_tokens == 40
        assert said.usage.total_tokens == said.usage.prompt_tokens + 40
        assert said.usage.prompt_tokens_details is not None
        assert said.usage.prompt_tokens_details.cached_tokens == 3

    def test_a_stream_is_the_same_answer(self, sdk: OpenAI) -> None:
        whole = sdk.chat.completions.create(model=MODEL, messages=[user("hi")])
        chunks = list(
            sdk.chat.completions.create(
                model=MODEL, messages=[user("hi")], stream=True, stream_options={"include_usage": True}
            )
        )
        told = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert told == whole.choices[0].message.content
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
        assert {c.usage for c in chunks[:-1]} == {None}

    def test_usage_is_streamed_only_when_asked_for(self, sdk: OpenAI) -> None:
        stream = sdk.chat.completions.create(model=MODEL, messages=[user("hi")], stream=True)
        assert {(bool(chunk.choices), chunk.usage) for chunk in stream} == {(True, None)}

    @pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
    @pytest.mark.parametrize("stream", [False, True])
    def test_it_ends_at_the_limit_of_tokens(self, aurora: Running, field: str, stream: bool) -> None:
        asked = {"model": MODEL, "messages": [user("hi")], field: 3, "stream": stream}
        answer = httpx.post(f"{aurora.base_url}/chat/completions", json=asked, headers=bearer())
        assert '"finish_reason":"length"' in answer.text
        assert "simulated" not in answer.text  # the third token is "simula"
        if not stream:
            assert answer.json()["choices"][0]["message"]["content"] == "This is a"

    @pytest.mark.parametrize("stop", ["No model", ["never said", "No model", "asked"]])
    def test_it_ends_before_the_first_stop(self, sdk: OpenAI, stop: str | list[str]) -> None:
        said = sdk.chat.completions.create(model=MODEL, messages=[user("hi")], stop=stop)
        assert said.choices[0].message.content == "This is a simulated answer from Aurora. "
        assert said.choices[0].finish_reason == "stop"

    def test_several_choices(self, sdk: OpenAI) -> None:
        said = sdk.chat.completions.create(model=MODEL, messages=[user("hi")], n=3)
        assert [choice.index for choice in said.choices] == [0, 1, 2]
        assert len({choice.message.content for choice in said.choices}) == 3
        chunks = list(sdk.chat.completions.create(model=MODEL, messages=[user("hi")], n=3, stream=True))
        ended = [c.choices[0].index for c in chunks if c.choices[0].finish_reason]
        assert ended == [0, 1, 2]

    def test_content_filter(self, sdk: OpenAI) -> None:
        said = sdk.chat.completions.create(model=MODEL, messages=[user("[[content_filter]]")])
        assert (said.choices[0].finish_reason, said.choices[0].message.content) == ("content_filter", "")

    def test_content_in_parts(self, sdk: OpenAI) -> None:
        said = sdk.chat.completions.create(
            model=MODEL,
            messages=[
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is it?"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                    ],
                },
            ],
        )
        assert (said.choices[0].message.content or "").endswith("What is it?")
        assert said.usage is not None
        assert said.usage.prompt_tokens > 85

    def test_json_is_spoken_when_asked_for(self, sdk: OpenAI) -> None:
        plain = sdk.chat.completions.create(
            model=MODEL, messages=[user("hi")], response_format={"type": "json_object"}
        )
        assert json.loads(plain.choices[0].message.content or "")["simulated"] is True
        strict = sdk.chat.completions.create(
            model=MODEL,
            messages=[user("hi")],
            response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": dict(WEATHER_SCHEMA)}},
        )
        jsonschema.validate(json.loads(strict.choices[0].message.content or ""), WEATHER_SCHEMA)


class TestTools:
    def test_offered_tools_are_called(self, sdk: OpenAI) -> None:
        said = sdk.chat.completions.create(model=MODEL, messages=[user("hi")], tools=[tool("weather"), tool("b")])
        assert said.choices[0].finish_reason == "tool_calls"
        assert said.choices[0].message.content is None
        (call,) = said.choices[0].message.tool_calls or []
        assert call.type == "function"
        assert call.function.name == "weather"
        jsonschema.validate(json.loads(call.function.arguments), WEATHER_SCHEMA)

    def test_calls_are_streamed_in_parts(self, sdk: OpenAI) -> None:
        asked = [user("weather and news")]
        whole = sdk.chat.completions.create(model=MODEL, messages=asked, tools=[tool("weather"), tool("news")])
        with sdk.chat.completions.stream(
            model=MODEL, messages=asked, tools=[tool("weather"), tool("news")], stream_options={"include_usage": True}
        ) as stream:
            streamed = stream.get_final_completion()
        calls = [call.model_dump(include={"id", "function"}) for call in whole.choices[0].message.tool_calls or []]
        again = streamed.choices[0].message.tool_calls or []
        assert [call.function.name for call in again] == ["weather", "news"]
        assert [call["function"]["arguments"] for call in calls] == [call.function.arguments for call in again]
        assert streamed.usage == whole.usage

    def test_one_at_a_time_when_so_asked(self, sdk: OpenAI) -> None:
        said = sdk.chat.completions.create(
            model=MODEL,
            messages=[user("weather and news")],
            tools=[tool("weather"), tool("news")],
            parallel_tool_calls=False,
        )
        assert len(said.choices[0].message.tool_calls or []) == 1

    @pytest.mark.parametrize(
        ("choice", "called"),
        [
            ("none", []),
            ("required", ["weather"]),
            ({"type": "function", "function": {"name": "news"}}, ["news"]),
        ],
    )
    def test_tool_choice(self, aurora: Running, choice: object, called: list[str]) -> None:
        asked = {"model": MODEL, "messages": [user("hi")], "tools": [tool("weather"), tool("news")]}
        answer = httpx.post(
            f"{aurora.base_url}/chat/completions", json=asked | {"tool_choice": choice}, headers=bearer()
        ).json()["choices"][0]
        assert [c["function"]["name"] for c in answer["message"].get("tool_calls", [])] == called
        assert answer["finish_reason"] == ("tool_calls" if called else "stop")

    def test_a_result_ends_the_loop(self, sdk: OpenAI) -> None:
        first = sdk.chat.completions.create(model=MODEL, messages=[user("hi")], tools=[tool("weather")])
        (call,) = first.choices[0].message.tool_calls or []
        asking: ChatCompletionAssistantMessageParam = {
            "role": "assistant",
            "tool_calls": [{"id": call.id, "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        }
        said = sdk.chat.completions.create(
            model=MODEL,
            messages=[
                user("hi"),
                asking,
                {"role": "tool", "tool_call_id": call.id, "content": "31 degrees"},
            ],
            tools=[tool("weather")],
        )
        assert said.choices[0].finish_reason == "stop"


class TestOtherEndpoints:
    def test_completions(self, sdk: OpenAI) -> None:
        said = sdk.completions.create(model=MODEL, prompt=["one", "two"], n=2, max_tokens=200)
        assert [choice.text.split(": ")[1] for choice in said.choices] == ["one", "one", "two", "two"]
        assert said.choices[0].finish_reason == "stop"
        assert sdk.completions.create(model=MODEL, prompt=[1, 2, 3]).choices[0].finish_reason == "length"
        echoed = sdk.completions.create(model=MODEL, prompt="one", echo=True, max_tokens=3, stop="simulated")
        assert echoed.choices[0].text == "oneThis is a"

    def test_completions_streamed(self, sdk: OpenAI) -> None:
        chunks = list(
            sdk.completions.create(
                model=MODEL, prompt="one", stream=True, stream_options={"include_usage": True}, max_tokens=5
            )
        )
        assert "".join(c.choices[0].text for c in chunks if c.choices) == "This is a simulated"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 5

    def test_embeddings(self, sdk: OpenAI) -> None:
        as_bytes = sdk.embeddings.create(model=MODEL, input=["one", "two"], dimensions=8)  # the SDK asks for base64
        as_floats = sdk.embeddings.create(model=MODEL, input=["one", "two"], dimensions=8, encoding_format="float")
        for one, other in zip(as_bytes.data, as_floats.data, strict=True):
            assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
            assert sum(value * value for value in one.embedding) == pytest.approx(1)
        assert as_floats.data[0].embedding != as_floats.data[1].embedding
        assert (as_floats.usage.prompt_tokens, as_floats.usage.total_tokens) == (2, 2)
        ids = sdk.embeddings.create(model=MODEL, input=[[1, 2, 3], [4]])
        assert (len(ids.data), len(ids.data[0].embedding), ids.usage.prompt_tokens) == (2, 256, 4)

    def test_models_are_listed_and_found(self, sdk: OpenAI) -> None:
        assert [model.id for model in sdk.models.list()] == [MODEL, "aurora/mini"]
        assert sdk.models.retrieve("aurora/mini").owned_by == "aurora"
        with pytest.raises(NotFoundError):
            sdk.models.retrieve("aurora/huge")
