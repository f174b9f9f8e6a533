"""All that one process does about the nodes connected to it, put together.

Door ──▶ Links ──▶ Link ──settings──▶ Keeper ──▶ PostgreSQL        what a node says of itself, rarely
            │         └─────────────▶ Herald ──▶ Fleet, Redis      who is here, and how busy
            ├──▶ TunnelTransport, Relay                            requests
            └◀── Orders                                            what owners decide
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from common.endings import ended
from nodes.consumers import Door
from nodes.elsewhere import Elsewhere
from nodes.findings import Keeper
from nodes.fleet import Fleet
from nodes.gate import Gate
from nodes.herald import Herald
from nodes.link import Link
from nodes.links import Links
from nodes.orders import Orders
from nodes.relay import Relay
from nodes.reports import ReportInvalid, parse
from nodes.transport import TunnelTransport
from nodes.trials import Trials

logger = logging.getLogger(__name__)


class Holder:
    """`start` inside the running loop, `aclose` before it ends."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        console_url: str,
        redis_url: str,
        secret_key: str,
        relay_host: str,
        hosts: Iterable[str] = (),
    ) -> None:
        secret = hmac.new(secret_key.encode(), b"nodes relay", hashlib.sha256).hexdigest()
        self.links = Links(self, fleet.heartbeat)
        self.door = Door(Gate(console_url, hosts), self.links)
        self._elsewhere = Elsewhere(fleet, secret)
        self.transport = TunnelTransport(self.links, self._elsewhere)
        self._relay_host = relay_host
        self._relay = Relay(self.links, secret)
        self._herald = Herald(redis_url, fleet, self.links)
        self._orders = Orders(redis_url, self.links)
        self._trials = Trials(self.transport)
        self._turn = asyncio.Lock()
        self._keepers: dict[Link, Keeper] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        await self._relay.start(self._relay_host)
        self._herald.relay = self._relay.address
        self.links.start()
        self._keep(self._herald.tell_for_ever())
        self._keep(self._orders.listen_for_ever())
        self._keep(self._orders.poll_for_ever())

    async def aclose(self) -> None:
        self.links.stop()
        await ended(self._tasks)
        await self._trials.aclose()
        self._relay.stop()
        self._elsewhere.close()
        await self._herald.tell_last()

    # ── what links tell ─────────────────────────────────────────────────────────────────────────────────────

    def began(self, link: Link) -> None:
        self._keepers[link] = Keeper(link.node, self._trials.begin, turn=self._turn)
        self._herald.began(link)

    def said(self, link: Link, settings: Mapping[str, Any]) -> None:
        try:
            report = parse(settings)
        except ReportInvalid as error:
            logger.warning("node %s reports what is no report: %s", link.node, error)
            return
        self._herald.note(link, report)
        if (keeper := self._keepers.get(link)) is not None:
            keeper.note(report)

    def ended(self, link: Link, *, is_last: bool) -> None:
        self._herald.ended(link, is_last=is_last)
        if (keeper := self._keepers.pop(link, None)) is not None:
            self._keep(keeper.aclose())
        if is_last:
            self._trials.stop(link.node)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
