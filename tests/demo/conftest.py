"""A simulated provider in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from demo.provider import Provider
from demo.simulated import start

KEYS = ("sk-aurora-1", "sk-aurora-2")


def bearer(key: str = KEYS[0]) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def user(text: str) -> ChatCompletionUserMessageParam:
    return {"role": "user", "content": text}


@dataclass(frozen=True, slots=True)
class Running:
    provider: Provider
    root_url: str

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/v1"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    provider = Provider("Aurora", frozenset(KEYS), ["aurora-large", "aurora/mini"], 0, 1e6)
    ready: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(provider, ready)), daemon=True)
    thread.start()
    port, loop, stopped = ready.result(timeout=10)
    yield Running(provider, f"http://127.0.0.1:{port}")
    loop.call_soon_threadsafe(stopped.set)
    thread.join(timeout=10)


@pytest.fixture
def aurora(server: Running) -> Running:
    """Nothing of an earlier test left in it."""
    server.provider.rules.clear_all()
    server.provider.first_token_s, server.provider.tokens_per_second = 0, 1e6
    return server


@pytest.fixture
def sdk(aurora: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=aurora.base_url, api_key=KEYS[0], max_retries=0) as client:
        yield client


async def _serve(provider: Provider, ready: "Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]]") -> None:
    stopped = asyncio.Event()
    runner, port = await start(provider)
    ready.set_result((port, asyncio.get_running_loop(), stopped))
    await stopped.wait()
    await runner.cleanup()
