"""One gateway of two processes for all tests of the data plane, in front of three fault servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from openai import OpenAI

from tests.fakes.upstream import FaultUpstream
from tests.ownredis import OwnRedis
from tests.stack import GatewayProcess, Tenant, make_tenant

MODELS = ("sim-chat", "sim-embed", "other")
METRICS_TOKEN = "token-of-the-monitoring"


@dataclass
class Upstreams:
    a: FaultUpstream
    b: FaultUpstream
    c: FaultUpstream

    def __iter__(self) -> Iterator[FaultUpstream]:
        return iter((self.a, self.b, self.c))


def allow_of(upstreams: Upstreams) -> str:
    return ", ".join(f"127.0.0.1:{upstream.port}" for upstream in upstreams)


@pytest.fixture(scope="package")
def upstream_servers() -> Iterator[Upstreams]:
    a, b, c = (FaultUpstream(name=name, models=MODELS) for name in "ABC")
    with a, b, c:
        yield Upstreams(a, b, c)


@pytest.fixture
def upstreams(upstream_servers: Upstreams) -> Upstreams:
    for upstream in upstream_servers:
        upstream.heal()
        upstream.log.clear()
    return upstream_servers


@pytest.fixture(scope="package")
def gateway(django_db_setup, django_db_blocker, upstream_servers, tmp_path_factory) -> Iterator[GatewayProcess]:
    with django_db_blocker.unblock():
        folder = tmp_path_factory.mktemp("gateway")
        process = GatewayProcess(
            folder, egress_allow=allow_of(upstream_servers), workers=2, METRICS_TOKEN=METRICS_TOKEN
        )
        process.start()
        yield process
        process.stop()


HASTY = {
    "DEADLINE_FIRST_BYTE_S": "2",
    "DEADLINE_FIRST_BYTE_UNARY_S": "2.5",
    "DEADLINE_IDLE_S": "1",
    "DEADLINE_TOTAL_UNARY_S": "6",
    "DEADLINE_TOTAL_STREAM_S": "5",
    "DEADLINE_CLIENT_BODY_S": "1",
    "DEADLINE_CLIENT_STALL_S": "1.5",
}


@pytest.fixture(scope="package")
def impatient(django_db_setup, django_db_blocker, upstream_servers, tmp_path_factory) -> Iterator[GatewayProcess]:
    """Another gateway of two processes, whose deadlines are so short that tests can wait for them."""
    with django_db_blocker.unblock():
        folder = tmp_path_factory.mktemp("impatient")
        process = GatewayProcess(folder, egress_allow=allow_of(upstream_servers), workers=2, **HASTY)
        process.start()
        yield process
        process.stop()


@pytest.fixture
def impatient_tenant(impatient: GatewayProcess, django_db_blocker, settings, upstream_servers) -> Iterator[Tenant]:
    settings.EGRESS_ALLOW = allow_of(upstream_servers)
    with django_db_blocker.unblock():
        yield make_tenant()


@pytest.fixture
def tenant(gateway: GatewayProcess, django_db_blocker, settings, upstream_servers) -> Iterator[Tenant]:
    """Rows are committed, for the gateway's processes to see, and stay; names are new each time."""
    settings.EGRESS_ALLOW = allow_of(upstream_servers)
    with django_db_blocker.unblock():
        yield make_tenant()


@pytest.fixture
def client(gateway: GatewayProcess, tenant: Tenant) -> Iterator[OpenAI]:
    """The official SDK without its own retries, so that one call is one call."""
    with OpenAI(base_url=gateway.base_url, api_key=tenant.api_key, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
def http(gateway: GatewayProcess, tenant: Tenant) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    own = OwnRedis()
    own.start()
    yield own
    own.kill()
