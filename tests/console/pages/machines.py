"""Machines as the pages' tests need them: enrolled, connected as far as PostgreSQL and Redis tell, at work."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import redis
from django.conf import settings

from accounts.audit import Actor
from accounts.models import Organization
from nodes.admission import open_connection
from nodes.announcements import PRESENCE_PREFIX, VITALS_PREFIX
from nodes.enrolment import create_token
from nodes.findings import Trial, store_local_server, store_models, store_trial
from nodes.fleet import Presence
from nodes.history import EVERY_S, HISTORY_PREFIX, Sample, append
from nodes.models import Node
from nodes.reports import Gpu, LocalServer, Report, State, Vitals, parse
from tests.nodes.machine import Machine

MODEL = "llama3.1:8b"
GPU = Gpu("NVIDIA GeForce RTX 4090", 24 << 30, 17 << 30, 0.62)


def connect(node: Node, *, version: str = "0.1.0", **said: Any) -> None:
    """It holds a connection from now on, for half a minute."""
    generation = open_connection(node.pk, version)
    tell(node, generation=generation, **said)


def tell(node: Node, *, gpu: Sequence[Gpu] = (GPU,), generation: int = 1, seconds: int = 30, **said: Any) -> None:
    presence = Presence(node.public_id, generation=generation, **said)
    vitals = Vitals(gpu=list(gpu), cpu_load=0.21, ram_total_bytes=64 << 30, ram_used_bytes=22 << 30)
    state = State(node.mode, presence.accepting, presence.reason)  # type: ignore[arg-type]
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.set(PRESENCE_PREFIX + node.public_id, msgspec.json.encode(presence), ex=seconds)
        report = Report(state=state, vitals=vitals)
        client.set(VITALS_PREFIX + node.public_id, msgspec.json.encode(report), ex=seconds)


def leave(node: Node) -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(*(prefix + node.public_id for prefix in (PRESENCE_PREFIX, VITALS_PREFIX, HISTORY_PREFIX)))


def work(node: Node, samples: Sequence[Sample]) -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client, client.pipeline() as pipeline:
        for sample in samples:
            append(pipeline, node.public_id, sample)
        pipeline.execute()


def an_hour(busy: float = 0.6) -> list[Sample]:
    """Of a machine that has waves of work."""
    now = time.time()
    waves = [0.5 + 0.4 * math.sin(number / 14) + 0.1 * math.sin(number * 1.9) for number in range(180)]
    return [
        Sample(
            now - (180 - number) * EVERY_S,
            busy * (0.6 + 0.4 * wave),
            0.55 + 0.15 * wave,
            round(wave * 4),
            round(wave),
        )
        for number, wave in enumerate(waves)
    ]


def list_models(node: Node, *models: str, **described: Any) -> None:
    """The agent found a model server with these."""
    store_local_server(node.public_id, LocalServer(ok=True, base_url="http://127.0.0.1:11434", runtime="ollama"))
    found = [{"id": model, "runtime": "ollama", "context": 8192, **described} for model in models or (MODEL,)]
    store_models(node.public_id, parse({"models": found}).models)


def pass_trial(node: Node, model: str = MODEL, *, ok: bool = True, error: str = "") -> None:
    store_trial(node.public_id, Trial(model, ok, error, first_token_ms=184.0, tokens_per_s=61.5))


def serving(node: Node, *models: str, **said: Any) -> Node:
    """All rungs done."""
    list_models(node, *models)
    connect(node, **said)
    for model in models or (MODEL,):
        pass_trial(node, model)
    return node


def new_node(org: Organization, actor: Actor, name: str = "Workbench", plain: str = "", **columns: Any) -> Node:
    """By the protocol, with a token of its own unless told which."""
    plain = plain or create_token(org, actor).plain
    hostname = f"{name.lower().replace(' ', '-')}.lab.example"
    answer = Machine(hostname).enrol(plain, name=name)
    assert answer.status_code == 201, answer.content
    Node.objects.filter(public_id=answer.json()["node"]).update(**columns)
    return Node.objects.select_related("org", "enrolled_with").get(public_id=answer.json()["node"])
