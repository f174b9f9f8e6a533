"""Many callers at once, each with a sentinel of its own, and what each of them got."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import aiohttp
import orjson

from tests.fakes.upstream import FaultUpstream

T = TypeVar("T")

LONG = os.environ.get("SHAREAI_LONG") == "1"
"""The sizes of the specification instead of those that fit into every run of the tests."""

WHOLE, DONE, ERROR, BROKEN, LEFT = "whole", "done", "error", "broken", "left"
CONCURRENCY = 32


@dataclass(slots=True)
class Heard:
    """One caller's side of one request.

    Attributes:
        end: `whole` answer, stream up to `done`, an explicit `error`, `broken` by the connection, or `left` by the
            caller itself.
        raw: all bytes of the body, as far as they came.
    """

    sentinel: str
    stream: bool
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""
    end: str = BROKEN

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")

    @property
    def server(self) -> str:
        """The name of the upstream that answered: A, B or C."""
        return self.headers.get("x-shareai-target", "").partition("/")[0].removeprefix("upstream-").upper()

    @property
    def is_complete(self) -> bool:
        return self.end in (WHOLE, DONE)

    @property
    def text(self) -> str:
        """What was said, as far as it came."""
        if not self.stream:
            return str(orjson.loads(self.raw)["choices"][0]["message"]["content"])
        chunks = [orjson.loads(event) for event in self.events if event != b"[DONE]"]
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])

    @property
    def events(self) -> list[bytes]:
        whole, _, _ = self.raw.rpartition(b"\n\n")
        return [event.removeprefix(b"data: ") for event in whole.split(b"\n\n") if event.startswith(b"data: ")]


def said_by(server: str, sentinel: str) -> str:
    """The simulated answer of an upstream."""
    return f"This is a simulated answer from {server}. No model was asked. You said: {sentinel}"


def sentinels(count: int) -> list[str]:
    return [f"sentinel {uuid4().hex}" for _ in range(count)]


@dataclass(slots=True)
class Crowd:
    """Calls the gateway with one key. `leave_after` bytes of an answer a caller is gone."""

    session: aiohttp.ClientSession
    model: str

    async def ask(
        self,
        sentinel: str,
        *,
        stream: bool = False,
        endpoint: str = "chat/completions",
        leave_after: int | None = None,
        **fields: Any,
    ) -> Heard:
        heard = Heard(sentinel, stream)
        body = {"model": self.model, "messages": [{"role": "user", "content": sentinel}], "stream": stream} | fields
        try:
            async with self.session.post(f"/v1/{endpoint}", json=body) as response:
                heard.status, heard.headers = response.status, {k.lower(): v for k, v in response.headers.items()}
                async for chunk in response.content.iter_any():
                    heard.raw += chunk
                    if leave_after is not None and len(heard.raw) >= leave_after:
                        heard.end = LEFT
                        response.close()
                        return heard
        except (aiohttp.ClientError, ConnectionError):
            return heard
        heard.end = _end_of(heard)
        return heard


def _end_of(heard: Heard) -> str:
    if heard.status != 200:
        return ERROR
    if not heard.stream:
        return WHOLE
    if heard.raw.endswith(b"data: [DONE]\n\n"):
        return DONE
    return ERROR if heard.events and b'"error"' in heard.events[-1] else BROKEN


@asynccontextmanager
async def crowd(url: str, api_key: str, model: str) -> AsyncIterator[Crowd]:
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Authorization": f"Bearer {api_key}"}
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(url, connector=connector, headers=headers, timeout=timeout) as session:
        yield Crowd(session, model)


async def at_once(
    work: Callable[[T], Awaitable[Heard]],
    items: Iterable[T],
    concurrency: int = CONCURRENCY,
    results: list[Heard] | None = None,
) -> list[Heard]:
    """`work` on each item, so many at a time; `results` grows meanwhile."""
    waiting = iter(list(items))
    results = [] if results is None else results

    async def one_after_another() -> None:
        for item in waiting:
            results.append(await work(item))

    await asyncio.gather(*(one_after_another() for _ in range(concurrency)))
    return results


def exchanges_by_sentinel(upstreams: Iterable[FaultUpstream]) -> dict[str, list[tuple[str, Any]]]:
    """What the upstreams' logs hold of each sentinel: (name of the upstream, exchange), in no order."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for upstream in upstreams:
        for exchange in upstream.log.posts:
            found.setdefault(exchange.prompt, []).append((upstream.voice.name, exchange))
    return found
