"""The models that this machine can offer: found by looking, described by asking them, narrowed by owner and console."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from shareai_node.config import Config, Server
from shareai_node.discovery import NOT_TICKED, NOTHING_FOUND, NOTHING_NAMED, SILENT, Seen, discover, summary_of
from shareai_node.errors import AgentError
from shareai_node.files import read_object, write_json
from shareai_node.local import fetch_text
from shareai_node.orders import Orders
from shareai_node.probing import Capabilities, Measured, Prober
from shareai_node.runtimes import QUEUE_METRICS
from shareai_node.runtimes.shapes import LocalModel

MOST_ADVERTISED = 200
MOST_ADVERTISED_BYTES = 60_000
"""Of the JSON, so that it fits one message to the console."""

_LONGEST_SENTENCE = 300
"""The console takes no longer one."""

_LONGEST_ID = 200
_MISSES_FORGIVEN = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    model: LocalModel
    seen: Seen

    @property
    def probe_key(self) -> str:
        return f"{self.seen.server.base_url} {self.model.id} {self.model.fingerprint}"


class Offers:
    """
    Args:
        memory: the file that keeps what the probes found.
    """

    def __init__(self, http: httpx.AsyncClient, config: Config, memory: Path) -> None:
        self._http = http
        self._config = config
        self._memory = memory
        self._probed = _remembered(memory)
        self._offers: dict[str, Offer] = {}
        self._misses: dict[str, int] = {}
        self.seen: list[Seen] = []
        self.orders = Orders()

    def configure(self, config: Config) -> None:
        """The owner has named other servers; the next look is at those."""
        self._config = config

    async def look(self) -> None:
        """Looks at every place once. A server that is merely slow keeps its models for a few looks."""
        known = frozenset(one.server.base_url for one in self.seen if one.models)
        fresh = await discover(self._http, self._config, known)
        former = {one.server.base_url: one for one in self.seen}
        self.seen = [self._forgiven(one, former.get(one.server.base_url)) for one in fresh]
        self._offers = self._listed()

    def _forgiven(self, fresh: Seen, former: Seen | None) -> Seen:
        place = fresh.server.base_url
        missed = fresh.listens and not fresh.models and former is not None and bool(former.models)
        self._misses[place] = self._misses.get(place, 0) + 1 if missed else 0
        return former if missed and former is not None and self._misses[place] < _MISSES_FORGIVEN else fresh

    def _listed(self) -> dict[str, Offer]:
        offers: dict[str, Offer] = {}
        for seen in self.seen:
            for model in seen.models:
                if self._is_allowed_here(model.id):
                    offers.setdefault(model.id, Offer(model, seen))
        return offers

    def _is_allowed_here(self, model: str) -> bool:
        return len(model) <= _LONGEST_ID and (self._config.models is None or model in self._config.models)

    def server_of(self, model: str) -> Server | None:
        """Where a model is served; None if it is not offered."""
        offer = self._offers.get(model) if self._is_ticked(model) else None
        return None if offer is None else offer.seen.server

    def offered(self) -> list[str]:
        return [model for model in self._offers if self._is_ticked(model)]

    def _is_ticked(self, model: str) -> bool:
        return self.orders.models is None or model in self.orders.models

    def advertised(self) -> list[dict[str, Any]]:
        """Everything the owner may tick in the console, in the shape of the SETTINGS key `models`."""
        described: list[dict[str, Any]] = []
        size_bytes = 0
        for offer in self._offers.values():
            entry = self._described(offer)
            size_bytes += len(json.dumps(entry)) + 1
            if size_bytes > MOST_ADVERTISED_BYTES or len(described) == MOST_ADVERTISED:
                _log.warning("there are more models than the console can be told of; name the right ones")
                break
            described.append(entry)
        return described

    def _described(self, offer: Offer) -> dict[str, Any]:
        capabilities, measured = self._probed.get(offer.probe_key, (Capabilities(), Measured()))
        return {
            "id": offer.model.id,
            "runtime": offer.seen.runtime,
            "context": offer.model.context_tokens,
            "capabilities": asdict(capabilities),
            "measured": asdict(measured),
        }

    def local_server(self) -> dict[str, Any]:
        """In the shape of the SETTINGS key `local_server`."""
        best = summary_of(self.seen)
        if best is None:
            nothing = NOTHING_FOUND if self._config.discover else NOTHING_NAMED
            return {"ok": False, "base_url": "", "runtime": "", "error": nothing, "trouble": SILENT}
        ok = bool(self.offered())
        error = None if ok else best.error or "None of its models is ticked in the console."
        return {
            "ok": ok,
            "base_url": best.server.base_url[:_LONGEST_SENTENCE],
            "runtime": best.runtime,
            "error": None if error is None else error[:_LONGEST_SENTENCE],
            "trouble": "" if ok else best.trouble or NOT_TICKED,
        }

    async def probe_next(self) -> bool:
        """Asks one model that was not asked yet. Returns whether there was one."""
        offer = next((one for one in self._offers.values() if self._wants_probe(one)), None)
        if offer is None:
            return False
        prober = Prober(self._http, offer.seen.server, offer.model.id)
        capabilities = await prober.capabilities()
        measured = await prober.measure() if capabilities.chat else Measured()
        self._probed[offer.probe_key] = (capabilities, measured)
        _log.info("probed %s: %s %s", offer.model.id, capabilities, measured)
        if None not in asdict(capabilities).values():
            self._remember()  # what could not be asked is asked again after a restart
        return True

    def _wants_probe(self, offer: Offer) -> bool:
        return offer.probe_key not in self._probed and self._is_ticked(offer.model.id)

    def _remember(self) -> None:
        current = {offer.probe_key for offer in self._offers.values()}
        kept = {
            key: {"capabilities": asdict(can), "measured": asdict(speed)}
            for key, (can, speed) in self._probed.items()
            if key in current and None not in asdict(can).values()
        }
        try:
            write_json(self._memory, kept)
        except AgentError as error:
            _log.warning("%s", error)

    async def queue(self) -> int | None:
        """Requests that wait in the local servers' own queues; None where none of them tells."""
        telling = [one for one in self.seen if one.models and one.runtime in QUEUE_METRICS]
        texts = await asyncio.gather(*(fetch_text(self._http, one.server, "/metrics") for one in telling))
        counts = [
            metric_in(text, QUEUE_METRICS[one.runtime]) for one, text in zip(telling, texts, strict=True) if text
        ]
        known = [count for count in counts if count is not None]
        return sum(known) if known else None


def metric_in(text: str, name: str) -> int | None:
    """The sum of a metric over its labels. Source: https://prometheus.io/docs/instrumenting/exposition_formats/"""
    found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})?\s+([0-9.eE+-]+)", text, re.MULTILINE)
    try:
        return int(sum(float(value) for value in found)) if found else None
    except ValueError:
        return None


def _remembered(memory: Path) -> dict[str, tuple[Capabilities, Measured]]:
    """What cannot be understood is found out again."""
    try:
        saved: Mapping[str, Any] = read_object(memory) or {}
        return {
            key: (Capabilities(**entry["capabilities"]), Measured(**entry["measured"]))
            for key, entry in saved.items()
        }
    except (AgentError, TypeError, KeyError, AttributeError):
        return {}
