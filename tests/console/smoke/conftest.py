"""A gateway in front of two fault servers, and an organisation whose routes lead to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from console.models import SmokeRun
from console.smoke import bench, runs
from console.smoke.report import CheckReport, reports_of
from console.smoke.words import say
from routing.services import put_route
from tests.fakes.upstream import FaultUpstream
from tests.stack import GatewayProcess, Tenant, allow_of, make_tenant

MODEL = "sim-chat"


@pytest.fixture(scope="package")
def upstream_servers() -> Iterator[tuple[FaultUpstream, FaultUpstream]]:
    with FaultUpstream(name="A", models=(MODEL,)) as a, FaultUpstream(name="B", models=(MODEL,)) as b:
        yield a, b


@pytest.fixture
def upstreams(upstream_servers) -> tuple[FaultUpstream, FaultUpstream]:
    for upstream in upstream_servers:
        upstream.heal()
    return upstream_servers


@pytest.fixture(scope="package")
def gateway(django_db_setup, django_db_blocker, upstream_servers, tmp_path_factory) -> Iterator[GatewayProcess]:
    with django_db_blocker.unblock():
        process = GatewayProcess(tmp_path_factory.mktemp("smoke"), egress_allow=allow_of(upstream_servers))
        process._environment["PUBLIC_URL"] = process.url
        process.start()
        yield process
        process.stop()


@pytest.fixture
def tenant(gateway, django_db_blocker, settings, upstreams) -> Iterator[Tenant]:
    """Rows are committed, for the gateway's process to see, and stay."""
    settings.EGRESS_ALLOW = allow_of(upstreams)
    settings.GATEWAY_URL = gateway.url
    with django_db_blocker.unblock():
        tenant = make_tenant()
        for upstream, price in zip(upstreams, ("1", "3"), strict=True):
            tenant.connect(upstream.base_url, [{"id": MODEL, "input_price": price, "output_price": price}])
        yield tenant


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    """One process hears of a change at once, so nobody has to wait for a second one's."""
    monkeypatch.setattr(bench, "KNOWN_EVERYWHERE_S", 0.4)
    monkeypatch.setattr(bench, "PATIENCE_S", 2.0)


@pytest.fixture
def routed(tenant: Tenant) -> Tenant:
    """Two routes: one that has somebody else to turn to, one that has not."""
    both = [{"target": "upstream-a/sim-chat"}, {"target": "upstream-b/sim-chat", "tier": 1}]
    put_route(tenant.org, tenant.actor, "fast", {"targets": both})
    put_route(tenant.org, tenant.actor, "plain", {"targets": [{"target": "upstream-b/sim-chat"}]})
    return tenant


@pytest.fixture
def run(routed: Tenant) -> Callable[..., SmokeRun]:
    def run(*checks: str, **wishes: str) -> SmokeRun:
        begun = runs.begin(routed.org, routed.actor, checks, **wishes)
        return runs.carry_out(begun, routed.actor)

    return run


def told(run: SmokeRun) -> dict[str, CheckReport]:
    return {each.check: each for each in reports_of(run.report)}


def sentences(run: SmokeRun) -> list[str]:
    return [say(step) for each in reports_of(run.report) for step in each.steps]
