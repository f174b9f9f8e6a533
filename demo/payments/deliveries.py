"""Webhooks of the double: signed, repeated until they are taken, doubled and out of order as one likes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from demo.payments.state import Object

RETRY_S = (0.2, 1.0, 5.0, 30.0, 120.0)


@dataclass(slots=True)
class Deliveries:
    """Tells a webhook of each event: signed, again until it is taken, and as disorderly as it is told to be."""

    url: str
    secret: str
    disorder_s: float = 0.0
    doubles: float = 0.0
    taken: Counter[str] = field(default_factory=Counter)
    """How often each event was answered with 200, by its id."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def send(self, event: Object) -> None:
        for _ in range(2 if random.random() < self.doubles else 1):  # noqa: S311  not a secret
            task = asyncio.get_running_loop().create_task(self._deliver(event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Gives up what was not taken yet."""
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, event: Object) -> None:
        await asyncio.sleep(random.uniform(0, self.disorder_s))  # noqa: S311  not a secret
        body = json.dumps(event)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            for pause_s in RETRY_S:
                if await self._is_taken(session, body):
                    self.taken[event["id"]] += 1
                    return
                await asyncio.sleep(pause_s)

    async def _is_taken(self, session: aiohttp.ClientSession, body: str) -> bool:
        headers = {"Stripe-Signature": signature(body, self.secret), "Content-Type": "application/json"}
        try:
            async with session.post(self.url, data=body, headers=headers) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def signature(body: str, secret: str, at_s: int | None = None) -> str:
    at_s = int(time.time()) if at_s is None else at_s
    digest = hmac.new(secret.encode(), f"{at_s}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"
