"""A console of two processes, real agents on machines of their own, and what they serve."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from openai import OpenAI

from demo.llama import running_llama
from tests.fakes.upstream import FaultUpstream
from tests.nodes_e2e.machines import Machine, machine_of, until
from tests.nodes_e2e.networks import OUTSIDE
from tests.stack import GatewayProcess, Tenant, make_tenant

MODELS = ("sim-chat", "sim-embed")
ASK = {"messages": [{"role": "user", "content": "Say something about gateways."}]}
LONG = os.environ.get("SHAREAI_LONG") == "1"

long = pytest.mark.skipif(not LONG, reason="takes minutes: SHAREAI_LONG=1 runs it")


@pytest.fixture(scope="package")
def cloud_server() -> Iterator[FaultUpstream]:
    with FaultUpstream(name="Cloud", models=MODELS) as server:
        yield server


@pytest.fixture(scope="package")
def console(django_db_setup, django_db_blocker, cloud_server, tmp_path_factory) -> Iterator[GatewayProcess]:
    with django_db_blocker.unblock():
        allowed = f"127.0.0.1:{cloud_server.port}"
        process = GatewayProcess(tmp_path_factory.mktemp("console"), egress_allow=allowed, workers=2)
        process.start()
        yield process
        process.stop()


@pytest.fixture(scope="package")
def quick_console(django_db_setup, django_db_blocker, cloud_server, tmp_path_factory) -> Iterator[GatewayProcess]:
    """One that bears little silence, and goes by a second name in another network."""
    with django_db_blocker.unblock():
        wishes = {"NODE_DEAD_AFTER_S": "5", "ALLOWED_HOSTS": f"127.0.0.1,{OUTSIDE}"}
        allowed = f"127.0.0.1:{cloud_server.port}"
        process = GatewayProcess(tmp_path_factory.mktemp("quick"), egress_allow=allowed, workers=2, **wishes)
        process.start()
        yield process
        process.stop()


@pytest.fixture(scope="package")
def llama(tmp_path_factory) -> Iterator[str]:
    with running_llama(tmp_path_factory.mktemp("llama")) as base_url:
        yield base_url


@pytest.fixture
def cloud(cloud_server: FaultUpstream) -> FaultUpstream:
    cloud_server.heal()
    cloud_server.log.clear()
    return cloud_server


@pytest.fixture
def local() -> Iterator[FaultUpstream]:
    """The model server of a machine: it wants no key, and misbehaves when told."""
    with FaultUpstream(name="Local", keys=[""], models=MODELS) as server:
        yield server


@pytest.fixture
def tenant(console, django_db_blocker, settings, cloud_server) -> Iterator[Tenant]:
    settings.EGRESS_ALLOW = f"127.0.0.1:{cloud_server.port}"
    with django_db_blocker.unblock():
        yield make_tenant()


@pytest.fixture
def make_machine(console, tenant, tmp_path) -> Iterator[Callable[..., Machine]]:
    """Machines that are enrolled and run; ended with the test."""
    with ExitStack() as stack:

        def make(*servers: str, name: str = "Box", owner: Tenant = tenant, models: str = "") -> Machine:
            folder = tmp_path / name
            return stack.enter_context(machine_of(console, owner, folder, *servers, name=name, models=models))

        yield make


@pytest.fixture
def client(console: GatewayProcess, tenant: Tenant) -> Iterator[OpenAI]:
    with OpenAI(base_url=console.base_url, api_key=tenant.api_key, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
def http(console: GatewayProcess, tenant: Tenant) -> Iterator[httpx.Client]:
    """Each request on a connection of its own, so that both processes are met."""
    with browser_of(console, tenant) as client:
        yield client


def browser_of(console: GatewayProcess, tenant: Tenant) -> httpx.Client:
    return httpx.Client(
        base_url=console.url,
        headers={"Authorization": f"Bearer {tenant.api_key}"},
        limits=httpx.Limits(max_keepalive_connections=0),
        timeout=60,
    )


def ask(http: httpx.Client, model: str, **more: object) -> httpx.Response:
    return http.post("/v1/chat/completions", json=ASK | {"model": model} | more)


def reason_of(answer: httpx.Response) -> str:
    """Why the only target was not asked; else the status."""
    rejected = answer.json().get("error", {}).get("metadata", {}).get("rejected")
    return str(rejected[0]["reason"] if rejected else answer.status_code)


def all_say(http: httpx.Client, model: str, said: Callable[[httpx.Response], bool], within_s: float = 20.0) -> None:
    """Until so many answers in a row agree that both processes are among those asked."""
    agreed: list[bool] = []
    last: list[str] = []

    def agree() -> bool:
        answer = ask(http, model, max_tokens=2)
        last[:] = [answer.text]
        agreed.append(said(answer))
        return len(agreed) >= 8 and all(agreed[-8:])

    until(agree, within_s, lambda: str(last))


def until_served(http: httpx.Client, model: str) -> None:
    all_say(http, model, lambda answer: answer.status_code == 200)


async def in_threads(*calls: Callable[[], object]) -> list[object]:
    return await asyncio.gather(*(asyncio.to_thread(call) for call in calls))
