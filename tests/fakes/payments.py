"""The double of Stripe in a thread of the tests, with its state at hand."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

from aiohttp import web

from demo.payments.deliveries import Deliveries
from demo.payments.server import DOOR, application
from demo.payments.state import Object, State

KEY = "sk_test_0123456789abcdef"
SECRET = "whsec_0123456789abcdef"


class PaymentDouble:
    """Args: webhook: where events are sent; "" keeps them, and `events` has them all."""

    def __init__(self, webhook: str = "", *, disorder_s: float = 0.0, doubles: float = 0.0) -> None:
        self.state = State()
        self.url = ""
        self.deliveries: Deliveries | None = None
        if webhook:
            self.deliver_to(webhook, disorder_s=disorder_s, doubles=doubles)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def deliver_to(self, webhook: str, *, disorder_s: float = 0.0, doubles: float = 0.0) -> None:
        """From the next event on."""
        self.deliveries = Deliveries(webhook, SECRET, disorder_s, doubles)
        self.state.on_event = self._send

    def __exit__(self, *_: object) -> None:
        if self.deliveries is not None:
            asyncio.run_coroutine_threadsafe(self.deliveries.close(), self._loop).result(10)
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def events(self) -> list[Object]:
        return list(self.state.objects["event"].values())

    async def _listen(self) -> None:
        app = application(self.state, KEY)
        self.forget_keys = app[DOOR].forget_keys
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def _send(self, event: Object) -> None:
        assert self.deliveries is not None
        self._loop.call_soon_threadsafe(self.deliveries.send, event)
