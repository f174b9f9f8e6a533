"""Who calls while processes die: many at once, whole and streamed, for what is sold, kept, own and a machine's.

They go on whatever becomes of the last request, and remember what they were told.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.world import KEPT, OWN, SOLD
from tests.routing.crowd import Crowd, Heard, crowd
from tests.stack import GatewayProcess

TOKENS = 10
COST_NANOS = TOKENS * 100_000
PAUSE_S, BUYS_EVERY_S = 0.5, 5.0
KEPT_FOR_S = 15
"""After that another question is asked of what is kept."""
SHARING = 6
"""So many ask the machine, which answers few at a time."""
KINDS = [(SOLD, False), (SOLD, True), (KEPT, False), (KEPT, True), (OWN, False), (OWN, True)]


@dataclass(repr=False)
class Told:
    """All that callers heard."""

    heard: list[tuple[str, Heard]] = field(default_factory=list)

    def note(self, model: str, heard: Heard) -> None:
        self.heard.append((model, heard))

    @property
    def answered(self) -> dict[str, int]:
        """What each request that was answered as a whole has to cost, in nano-USD, by its id."""
        return {heard.request_id: _cost(model, heard) for model, heard in self.heard if is_answered(heard)}

    @property
    def cut_off(self) -> set[str]:
        """Those of which the beginning came, and then no more."""
        return {heard.request_id for _, heard in self.heard if heard.status == 200 and not is_answered(heard)}

    def __str__(self) -> str:
        statuses = Counter(heard.status for _, heard in self.heard)
        return f"{len(self.answered)} answered, {len(self.cut_off)} cut off; by status, 0 for none: {dict(statuses)}"

    def count(self, model: str, is_stream: bool) -> int:
        return sum(asked == model and heard.stream is is_stream and is_answered(heard) for asked, heard in self.heard)


def is_answered(heard: Heard) -> bool:
    return heard.status == 200 and heard.is_complete


def is_hit(heard: Heard) -> bool:
    return heard.headers.get("x-shareai-cache") == "HIT"


def _cost(model: str, heard: Heard) -> int:
    return 0 if model == OWN or is_hit(heard) else COST_NANOS


def _content(model: str) -> str:
    kept = f" Question {int(time.monotonic() / KEPT_FOR_S)}." if model == KEPT else ""
    return f"[[tokens:{TOKENS}]]{kept}"


async def call_until(over: asyncio.Event, caller: Crowd, model: str, stream: bool, pace_s: float, told: Told) -> None:
    while not over.is_set():
        messages = [{"role": "user", "content": _content(model)}]
        try:
            heard = await caller.ask("", stream=stream, model=model, messages=messages, max_tokens=2 * TOKENS)
        except (TimeoutError, ValueError):
            continue
        told.note(model, heard)
        if is_hit(heard):
            await asyncio.sleep(pace_s)
        elif not is_answered(heard):
            await asyncio.sleep(PAUSE_S)


async def call(
    over: asyncio.Event, gateway: GatewayProcess, api_key: str, callers: int, pace_s: float, shared: str
) -> Told:
    """Args: shared: the name of the machine's model."""
    told, asked = Told(), [(shared, False), (shared, True)] * (SHARING // 2)
    asked += [KINDS[nth % len(KINDS)] for nth in range(callers - SHARING)]
    async with crowd(gateway.url, api_key, SOLD) as caller:
        await asyncio.gather(*(call_until(over, caller, *kind, pace_s, told) for kind in asked))
    return told


async def ask_for_payout(gateway: GatewayProcess, key: str, after_s: float) -> None:
    """One owner, who asks for all that is payable."""
    await asyncio.sleep(after_s)
    async with _insisting(gateway, key) as insist:
        await insist("/api/v1/payouts", "my first")


async def buy_until(over: asyncio.Event, gateway: GatewayProcess, key: str) -> int:
    """Orders credits and pays them at once, again and again. Returns: for how many dollars."""
    dollars = 0
    # A connection that was kept may be closed just when the next order takes it, and nobody would know who has paid.
    anew = aiohttp.TCPConnector(force_close=True)
    async with _insisting(gateway, key) as insist, aiohttp.ClientSession(connector=anew) as browser:
        while not over.is_set():
            wanted = 5 + dollars % 7
            order = await insist("/api/v1/billing/top-ups", f"order {dollars}", amount_usd=str(wanted))
            # Where it leads afterwards is the console, which may be dead just then.
            async with browser.post(order["checkout_url"], data={"act": "pay"}, allow_redirects=False) as paid:
                assert paid.status == 303
            dollars += wanted
            await asyncio.sleep(BUYS_EVERY_S)
    return dollars


@asynccontextmanager
async def _insisting(gateway: GatewayProcess, key: str) -> AsyncIterator[Callable[..., Awaitable[dict[str, Any]]]]:
    """Asks the management API in the same words until it is said that something was made."""
    headers, timeout = {"Authorization": f"Bearer {key}"}, aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(gateway.url, headers=headers, timeout=timeout) as session:

        async def insist(path: str, words: str, **wishes: str) -> dict[str, Any]:
            while True:
                try:
                    async with session.post(path, json=wishes, headers={"Idempotency-Key": words}) as response:
                        if response.status == 201:
                            return await response.json()
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(PAUSE_S)

        yield insist
