"""Rival owns a machine that acme uses: 1,000 tokens in and 500 out cost $0.003, of which 70 % are rival's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest
from django.utils import timezone

from accounts.audit import Actor
from billing.earnings import causes, programmes
from billing.earnings.models import Cause
from common.money import NANOS_PER_USD
from metering.usage import UsageRecord
from nodes.enrolment import create_token
from nodes.findings import store_models
from nodes.models import COMMUNITY, Node, NodeDoubt, NodeModel
from nodes.reports import parse
from tests.billing.conftest import record
from tests.nodes.machine import Machine

PRICE, SHARE = 3_000_000, 2_100_000
"""Of one request of `served`, in nano-USD."""


@pytest.fixture
def machine(rival, mallory) -> NodeModel:
    token = create_token(rival, Actor.of_user(mallory)).plain
    answer = Machine().enrol(token, name="Workbench")
    node = Node.objects.get(public_id=answer.json()["node"])
    Node.objects.update(visibility=COMMUNITY)
    store_models(node.public_id, parse({"models": [{"id": "llama3.1:8b", "runtime": "ollama"}]}).models)
    model = NodeModel.objects.get(node=node)
    model.input_price_nanos, model.output_price_nanos, model.price_version = NANOS_PER_USD, 4 * NANOS_PER_USD, 2
    model.save()
    return model


@pytest.fixture
def as_mallory(mallory) -> Actor:
    return Actor.of_user(mallory, "192.0.2.9", "tests")


@pytest.fixture
def served(wallet, used, machine) -> Callable[..., UsageRecord]:
    """A request of acme, paid from its $10.00, answered by rival's machine and settled."""

    def served(request_id: str = "req_1", **fields) -> UsageRecord:
        usage = used(request_id, **{"target_id": -machine.pk, "price_version": 2} | fields)
        record(usage)
        return usage

    return served


@pytest.fixture
def cause(db) -> Cause:
    return causes.add({"name": "Trees for All", "summary": "Plants trees."})


@pytest.fixture
def chosen(rival, as_mallory) -> Callable[..., None]:
    """Percent of its share; the rest is rewards."""

    def chosen(exchanged: int = 0, donated: int = 0, **weights: int) -> None:
        given = {"exchanged_percent": exchanged, "donated_percent": donated, "causes": weights}
        programmes.choose(rival, as_mallory, given)

    return chosen


@pytest.fixture
def doubted(machine) -> Callable[..., NodeDoubt]:
    def doubted(kind: str, times: int = 1, said: int = 0, counted: int = 0, day: date | None = None) -> NodeDoubt:
        now = timezone.now()
        return NodeDoubt.objects.create(
            org=machine.org, node=machine.node, upstream_id=machine.upstream_id, kind=kind, day=day or now.date(),
            times=times, said_tokens=said, counted_tokens=counted, request_id="req_1", first_at=now, last_at=now,
        )  # fmt: skip

    return doubted


def days_on(days: int):
    return timezone.now() + timedelta(days=days)
