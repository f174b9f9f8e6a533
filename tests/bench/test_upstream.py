"""The mock upstream, seen by the official SDK and on the wire."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from openai import AsyncOpenAI, InternalServerError
from openai.types.chat import ChatCompletionChunk

from bench import answers

_ASK = [{"role": "user", "content": "hello"}]
_ASK_PACED = [{"role": "user", "content": f"{answers.PACED.decode()} hello"}]


@pytest.fixture
async def sdk(upstream_port: int) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=f"http://127.0.0.1:{upstream_port}/v1", api_key="unused", max_retries=0
    ) as client:
        yield client


def _text(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


async def test_answers_a_completion_with_usage(sdk: AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model="bench", messages=_ASK)
    assert answer.choices[0].message.content == answers.TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answers.CHUNKS


@pytest.mark.parametrize("messages", [_ASK, _ASK_PACED], ids=["at once", "paced"])
async def test_streams_a_hundred_chunks_and_the_finish(sdk: AsyncOpenAI, messages) -> None:
    stream = await sdk.chat.completions.create(model="bench", messages=messages, stream=True)
    chunks = [chunk async for chunk in stream]
    assert _text(chunks) == answers.TEXT
    assert len(chunks) == answers.CHUNKS + 1
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("messages", [_ASK, _ASK_PACED], ids=["at once", "paced"])
async def test_ends_with_usage_when_asked(sdk: AsyncOpenAI, messages) -> None:
    stream = await sdk.chat.completions.create(
        model="bench", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert _text(chunks) == answers.TEXT
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == answers.CHUNKS


async def test_the_model_name_selects_the_paced_answer_too(upstream_port: int) -> None:
    body = {"model": answers.PACED.decode(), "stream": True, "messages": _ASK}
    url = f"http://127.0.0.1:{upstream_port}/v1/chat/completions"
    async with httpx.AsyncClient() as client, client.stream("POST", url, json=body) as answer:
        pieces = [piece async for piece in answer.aiter_raw()]
    assert b"[DONE]" not in pieces[0]
    assert len(pieces) > answers.CHUNKS // 2
    assert answers.stream_fault(answer.status_code, b"".join(pieces)) is None


async def test_a_caller_who_leaves_a_paced_stream_disturbs_nobody(sdk: AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(model="bench", messages=_ASK_PACED, stream=True)
    await anext(aiter(stream))
    await stream.close()
    answer = await sdk.chat.completions.create(model="bench", messages=_ASK)
    assert answer.choices[0].message.content == answers.TEXT


async def test_lists_its_model(sdk: AsyncOpenAI) -> None:
    assert [model.id async for model in sdk.models.list()] == [answers.MODEL]


async def test_breaks_on_request(sdk: AsyncOpenAI) -> None:
    with pytest.raises(InternalServerError):
        await sdk.chat.completions.create(model=answers.BROKEN.decode(), messages=_ASK)


async def test_reads_a_request_that_comes_in_pieces_on_a_used_connection(upstream_port: int) -> None:
    body = b'{"model": "bench"}'
    request = b"POST /any/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream_port)
    for _ in range(2):
        for index in range(len(request)):
            writer.write(request[index : index + 1])
            await asyncio.sleep(0)
        answer = await reader.readuntil(b'"total_tokens":124}}')
        assert answer.startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/v1/models?limit=1", 200), ("/v1/files", 404)])
async def test_other_paths(upstream_port: int, path: str, status: int) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{upstream_port}{path}")
    assert answer.status_code == status
