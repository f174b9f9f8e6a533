"""Connections of the cast, and a real upstream to test them against."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from accounts.audit import Actor
from accounts.models import Organization
from providers.models import Connection
from providers.services import create_connection
from tests.fakes.upstream import FaultUpstream, Manners
from tests.fakes.wirelog import settled

KEY = "sk-upstream-0123456789abcdef"


@pytest.fixture
def as_system() -> Actor:
    return Actor.system("tests")


@pytest.fixture
def connect(acme: Organization, as_alice: Actor) -> Callable[..., Connection]:
    """A connection of acme with one model and one key, at an address that is never dialled."""

    def connect(**wishes) -> Connection:
        given = {
            "preset": "custom",
            "name": "Upstream",
            "base_url": "https://llm.example/v1",
            "api_keys": [KEY],
            "models": [{"id": "small", "input_price": "0.15", "output_price": "0.6"}],
        }
        org, actor = wishes.pop("org", acme), wishes.pop("actor", as_alice)
        return create_connection(org, actor, **given | wishes)

    return connect


@pytest.fixture(scope="module")
def server() -> Iterator[FaultUpstream]:
    with FaultUpstream(keys={KEY}, models=["good"], manners=Manners(delay_s=0.05)) as upstream:
        yield upstream


@pytest.fixture
def upstream(server: FaultUpstream, settings) -> FaultUpstream:
    """A real server on this machine, allowed by the operator, with nothing of an earlier test left in it."""
    server.log.wait_until(settled)
    server.log.clear()
    server.rules.clear_all()
    server.keys, server.models_status = {KEY}, 200
    settings.EGRESS_ALLOW = f"127.0.0.1:{server.port}"
    return server
