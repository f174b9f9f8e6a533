"""S1's suite of the official SDK, with the route switched from a provider to a machine: clients change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest
from django.test import override_settings
from openai import OpenAI

from providers.services import disable_connection
from tests.fakes.upstream import FaultUpstream
from tests.fakes.wirelog import Exchange
from tests.nodes_e2e.conftest import MODELS, all_say, browser_of, until_served
from tests.nodes_e2e.machines import machine_of, until
from tests.routing.test_sdk import (  # noqa: F401
    EMBED,
    MODEL,
    test_a_stream_without_include_usage_shows_none,
    test_each_finish_reason,
    test_each_request_field_streamed,
    test_each_request_field_unary,
    test_embeddings_in_base64_hold_the_same_figures,
    test_embeddings_of_texts_and_tokens,
    test_every_field_of_embeddings_arrives,
    test_every_field_of_legacy_completions_arrives,
    test_legacy_completions,
    test_models_are_listed_and_found,
    test_stream_and_unary_say_the_same,
    test_structured_output_by_the_sdk_parser,
    test_the_asynchronous_client_streams,
)
from tests.stack import Tenant, make_tenant


@dataclass(frozen=True)
class Log:
    """What the machine's model server received, without the agent's looks at its list."""

    server: FaultUpstream

    @property
    def last(self) -> Exchange:
        return self.server.log.posts[-1]


@dataclass(frozen=True)
class A:
    log: Log


@dataclass(frozen=True)
class Upstreams:
    a: A


@pytest.fixture(scope="module")
def local_server() -> Iterator[FaultUpstream]:
    with FaultUpstream(name="Local", keys=[""], models=MODELS) as server:
        yield server


@pytest.fixture(scope="module")
def switched(console, cloud_server, local_server, tmp_path_factory) -> Iterator[Tenant]:
    """An organisation that had a provider for these models, switched it off, and has them on a machine now."""
    folder = tmp_path_factory.mktemp("box") / "home"
    with ExitStack() as stack:
        stack.enter_context(override_settings(EGRESS_ALLOW=f"127.0.0.1:{cloud_server.port}"))
        tenant = make_tenant("Switched")
        http = stack.enter_context(browser_of(console, tenant))
        models = ",".join(MODELS)
        stack.enter_context(machine_of(console, tenant, folder, local_server.base_url, models=models))
        until_served(http, f"node/box/{MODEL}")
        provider = tenant.connect(cloud_server.base_url, [MODEL], priority=1)
        all_say(http, MODEL, lambda answer: answer.headers.get("x-shareai-target") == f"upstream-a/{MODEL}")
        disable_connection(provider, tenant.actor)
        all_say(http, MODEL, lambda answer: answer.headers.get("x-shareai-target") == f"node/box/{MODEL}")
        until(lambda: embedded(http) == f"node/box/{EMBED}")
        yield tenant


def embedded(http: httpx.Client) -> str | None:
    answer = http.post("/v1/embeddings", json={"model": EMBED, "input": "x"})
    return answer.headers.get("x-shareai-target") if answer.status_code == 200 else None


@pytest.fixture
def pinned() -> str:
    return f"node/box/{MODEL}"


@pytest.fixture
def tenant(switched: Tenant) -> Tenant:
    return switched


@pytest.fixture
def gateway(console):
    return console


@pytest.fixture
def upstreams(local_server) -> Upstreams:
    return Upstreams(A(Log(local_server)))


@pytest.fixture
def sdk(client: OpenAI, upstreams) -> OpenAI:
    return client


def test_the_answers_come_from_the_machine(sdk):
    answer = sdk.chat.completions.with_raw_response.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
    assert answer.headers["x-shareai-target"] == f"node/box/{MODEL}"
