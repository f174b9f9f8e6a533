"""The running agent: what it watches, what it decides from that, and what it tells the console and its owner.

servers, sensors, vitals ──▶ decision ──▶ gate (what may come in) and board (what the console hears)
console's orders, owner's switches ──┘
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shareai_node import __version__, config, orders, sensors, switch
from shareai_node.board import Board
from shareai_node.config import Config
from shareai_node.control import Control
from shareai_node.errors import AgentError
from shareai_node.gate import Gate
from shareai_node.identity import Identity
from shareai_node.idle import Readings, decide
from shareai_node.link import Link
from shareai_node.local import local_client
from shareai_node.offers import Offers
from shareai_node.places import Places
from shareai_node.relay import Relay
from shareai_node.vitals import Vitals, VitalsReader

_LOOK_EVERY_S = 10.0
_LOOK_AGAIN_S = 2.0
"""While no server is found: its owner may be starting one and watching the console."""

_SENSE_EVERY_S = 2.0
"""Busy must be known to the console within five seconds."""

_VITALS_EVERY_S = 10.0
_USE, _VITALS = "use", "vitals"
_MOST_GPUS = 32
_LONGEST_DRAIN_S = 24 * 3600.0
STOPS_WITHIN_S = 25.0
"""Service managers kill after 30 s or more."""

_log = logging.getLogger(__name__)


class Agent:
    def __init__(self, where: Places, loaded: Config, identity: Identity) -> None:
        self._where = where
        self._config = loaded
        self._http = local_client()
        self._switches = switch.load(where.switch)
        self._orders = orders.Orders()
        self._readings = Readings(looked=False)
        self._unread = {_USE, _VITALS}
        """What was not read since idle time began."""
        self._vitals: Vitals | None = None
        self._stopped = asyncio.Event()
        self._look_now = asyncio.Event()
        self._ordered = asyncio.Event()
        self._turned_idle = asyncio.Event()
        self.board = Board()
        self.gate = Gate(self._orders.max_concurrent)
        self.offers = Offers(self._http, loaded, where.probes)
        relay = Relay(self._http, self.offers, self.gate, self._look_now.set)
        self.link = Link(loaded, identity, relay, self.board, self._obey)
        self._control = Control(where.control, self._answer)
        self._started_s = time.time()
        self._standing = self.gate.standing

    async def run(self) -> None:
        """Until `stop`, or until the console will not have this machine any more (raises NotEnrolled)."""
        await self._control.start()
        await self.offers.look()
        self._decide()
        tasks = [asyncio.create_task(part) for part in self._parts()]
        stopping = asyncio.create_task(self._stopped.wait())
        everything: list[asyncio.Task[Any]] = [stopping, *tasks]
        try:
            await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            await self._wind_down()
        finally:
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
            await self._control.stop()
            await self._http.aclose()

    def stop(self) -> None:
        self._stopped.set()

    def _parts(self) -> list[Coroutine[Any, Any, None]]:
        return [self._watch_servers(), self._probe(), self._watch_use(), self._watch_vitals(), self.link.run()]

    async def _wind_down(self) -> None:
        _log.info("stopping: %d requests in flight", self.gate.in_flight)
        self._switches = replace(self._switches, draining=True)
        self._decide()
        await self.link.leave(STOPS_WITHIN_S)

    # ── what is watched ─────────────────────────────────────────────────────────────────────────────────────

    async def _watch_servers(self) -> None:
        while True:
            self._look_now.clear()
            pause_s = _LOOK_EVERY_S if self.offers.offered() else _LOOK_AGAIN_S
            try:
                await asyncio.wait_for(self._look_now.wait(), pause_s)
                await asyncio.sleep(0.2)  # many requests may fail at once
            except TimeoutError:
                pass
            await self.offers.look()
            self._decide()

    async def _probe(self) -> None:
        """One model at a time, and only while the machine may be used and nobody else's request waits for it."""
        await self._ordered.wait()  # until then nobody knows what is ticked
        while True:
            free = self.gate.refusal() is None and self.gate.in_flight == 0
            if free and await self.offers.probe_next():
                self.board.put("models", self.offers.advertised())
            else:
                await asyncio.sleep(1)

    async def _watch_use(self) -> None:
        while True:
            await self._rest(_SENSE_EVERY_S)
            if self._orders.mode == "idle":
                quiet_s = await asyncio.to_thread(sensors.quiet_s)
                self._take(_USE, quiet_s=quiet_s)

    async def _watch_vitals(self) -> None:
        reader = await asyncio.to_thread(VitalsReader)
        told_at_s = float("-inf")
        try:
            while True:
                self._vitals = vitals = await asyncio.to_thread(reader.read)
                self._take(_VITALS, load=vitals.load, on_battery=vitals.on_battery)
                if time.monotonic() - told_at_s >= _VITALS_EVERY_S:
                    told_at_s = time.monotonic()
                    self.board.put("vitals", self._told_vitals(vitals, await self.offers.queue()))
                await self._rest(_SENSE_EVERY_S if self._orders.mode == "idle" else _VITALS_EVERY_S)
        finally:
            reader.close()

    def _take(self, what: str, **read: Any) -> None:
        self._unread.discard(what)
        self._readings = replace(self._readings, looked=not self._unread, **read)
        if self._orders.mode == "idle":
            self._decide()

    async def _rest(self, seconds: float) -> None:
        """Or until idle time begins: what was read before may be long ago."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._turned_idle.wait(), seconds)

    def _told_vitals(self, vitals: Vitals, queue: int | None) -> dict[str, Any]:
        """Rounded, so that a machine on which nothing happens says nothing."""
        gpus = [
            {
                "name": gpu.name[:120],
                "vram_total_bytes": gpu.vram_total_bytes,
                "vram_used_bytes": _rounded(gpu.vram_used_bytes),
                "load": None if gpu.load is None else round(gpu.load, 2),
            }
            for gpu in vitals.gpus[:_MOST_GPUS]
        ]
        return {
            "gpu": gpus,
            "cpu_load": None if vitals.cpu_load is None else round(vitals.cpu_load, 1),
            "ram_total_bytes": vitals.ram_total_bytes,
            "ram_used_bytes": _rounded(vitals.ram_used_bytes),
            "queue": queue,
            "in_flight": self.gate.in_flight,
            "on_battery": vitals.on_battery,
        }

    # ── what is decided ─────────────────────────────────────────────────────────────────────────────────────

    def _obey(self, said: Mapping[str, Any]) -> None:
        former = self._orders.mode
        self._orders = self.offers.orders = orders.understood(said, self._orders)
        if self._orders.mode == "idle" and former != "idle":
            self._unread = {_USE, _VITALS}
            self._readings = Readings(looked=False)
            self._turned_idle.set()  # wakes those who wait now, and nobody later
            self._turned_idle.clear()
        self.gate.resize(self._orders.max_concurrent)
        self._ordered.set()
        self._decide()

    def _decide(self) -> None:
        """Takes everything that is known, and tells whoever must know."""
        local_server = self.offers.local_server()
        readings = replace(
            self._readings, serving=self.gate.serving, local_time=_local_time(self._orders.idle.time_zone)
        )
        standing = decide(
            self._orders, self._switches, local_server["ok"], readings, time.monotonic(), self._standing
        )
        if standing.accepting != self._standing.accepting or standing.reason != self._standing.reason:
            _log.info("%s", "takes requests" if standing.accepting else f"takes no requests: {standing.detail}")
        self._standing = self.gate.standing = standing
        self.board.put("local_server", local_server)
        self.board.put("models", self.offers.advertised())
        self.board.put("state", self._told_state())

    def _told_state(self) -> dict[str, Any]:
        standing = self._standing
        reason = None if standing.reason is None else str(standing.reason)
        return {
            "mode": self._orders.mode,
            "accepting": standing.accepting,
            "reason": reason,
            "detail": standing.detail,
        }

    # ── what its owner asks ─────────────────────────────────────────────────────────────────────────────────

    async def _answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        match question.get("verb"):
            case "status":
                return self.status()
            case "pause":
                self._switch(paused=True)
            case "resume":
                self._switch(paused=False)
            case "drain":
                return await self._drain(question.get("within_s"))
            case "reload":
                self.offers.configure(config.load(self._where))
                self._look_now.set()
            case "stop":
                self.stop()
            case other:
                raise AgentError(
                    f"This agent knows no {str(other)[:20]!r}. It may be older than the command: restart it."
                )
        return self.status()

    def _switch(self, paused: bool) -> None:
        self._switches = replace(self._switches, paused=paused, draining=False)
        switch.save(self._where.switch, self._switches)
        self._decide()

    async def _drain(self, within_s: object) -> dict[str, Any]:
        wait_s = min(float(within_s), _LONGEST_DRAIN_S) if isinstance(within_s, (int, float)) else 0.0
        self._switches = replace(self._switches, draining=True)
        self._decide()
        emptied = await self.gate.emptied(max(wait_s, 0.0))
        return {**self.status(), "drained": emptied}

    def status(self) -> dict[str, Any]:
        link = self.link
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": _iso(self._started_s),
            "console": self._config.console,
            "node": self._config.node,
            "name": self._config.name,
            "organization": self._config.organization,
            "connected": link.connected,
            "connected_since": None if link.connected_since_s is None else _iso(link.connected_since_s),
            "generation": link.generation,
            "last_words": link.last_words,
            "state": self._told_state(),
            "in_flight": self.gate.in_flight,
            "max_concurrent": self.gate.most,
            "local_server": self.offers.local_server(),
            "models": self.offers.advertised(),
            "offered": self.offers.offered(),
            "vitals": self.board.get("vitals"),
        }


def _local_time(zone: str) -> datetime | None:
    """None: this machine does not know the zone."""
    if not zone:
        return datetime.now().astimezone()
    try:
        return datetime.now(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _rounded(size_bytes: int | None, step: int = 256 << 20) -> int | None:
    return None if size_bytes is None else round(size_bytes / step) * step


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")
