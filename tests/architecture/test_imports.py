"""Who may import whom: the contracts of pyproject.toml, and what they cannot say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.modules import ROOT, files, imports_of, is_within, reached_from, way_to

WIRED = {"routing.wiring", "routing.sources"}
"""Where the data plane is put together, and where its snapshots come from: in a thread, off the path of requests."""

CONTROL_PLANE_OF_ROUTING = {
    "routing.canaries",
    "routing.cache_services",
    "routing.drafts",
    "routing.drills",
    "routing.embedding_models",
    "routing.health_control",
    "routing.health_rows",
    "routing.models",
    "routing.past",
    "routing.rule_people",
    "routing.services",
    "routing.simulations",
    "routing.tasks",
    "routing.tester",
    "routing.versions",
}
DATA_PLANE = sorted(
    module for module in files() if is_within(module, "routing") and module not in WIRED | CONTROL_PLANE_OF_ROUTING
)

WITHOUT_DJANGO = [
    "accounts.apikeys",
    "accounts.authentication",
    "accounts.channel",
    "ledger.allowances",
    "accounts.scopes",
    "metering.admission",
    "metering.bounds",
    "metering.by_turn",
    "metering.checkpoints",
    "metering.columns",
    "metering.content_log",
    "metering.gate",
    "metering.journal",
    "metering.peers",
    "metering.transcripts",
    "metering.rejected",
    "metering.running_count",
    "metering.segments",
    "metering.shares",
    "metering.tokens",
    "metering.usage",
    "nodes.announcements",
    "nodes.fleet",
    "nodes.proofs",
    "nodes.answer",
    "nodes.consumers",
    "nodes.elsewhere",
    "nodes.fleet",
    "nodes.link",
    "nodes.links",
    "nodes.outbox",
    "nodes.pipe",
    "nodes.relay",
    "nodes.transport",
    "nodes.wire",
    "providers.adapters",
    "providers.addresses",
    "providers.dialer",
    "providers.egress",
    "providers.failures",
    "providers.http1",
    "providers.inflation",
    "providers.inflow",
    "providers.pool",
    "providers.prefill",
    "providers.schema",
    "providers.targets",
    "providers.transport",
    "providers.upstream",
    "routing.asked",
    "routing.cache",
    "routing.cache_entries",
    "routing.cache_forms",
    "routing.cache_keys",
    "routing.cache_listeners",
    "routing.cache_live",
    "routing.cache_replies",
    "routing.cache_rules",
    "routing.cache_share",
    "routing.cache_store",
    "routing.admission",
    "routing.checkpoints",
    "routing.continuation",
    "routing.errands",
    "routing.explanation",
    "routing.failover",
    "routing.filters",
    "routing.flights",
    "routing.gateway",
    "routing.health",
    "routing.health_news",
    "routing.hedging",
    "routing.kept_replies",
    "routing.lookups",
    "routing.parts",
    "routing.planner",
    "routing.plans",
    "routing.redis_door",
    "routing.prompts",
    "routing.rendering",
    "routing.replies",
    "routing.rules",
    "routing.scorers",
    "routing.settlement",
    "routing.sentences",
    "routing.sink",
    "routing.snapshots",
    "routing.streams",
]
"""What serves a request, apart from its frame, and could serve it in another frame."""

ONLY_IN = {
    "aiohttp": (),
    "httptools": ("console.wire", "providers.http1"),
    "rest_framework": ("console.api", "routing.views"),
    "drf_spectacular": ("console.api", "console.urls"),
    "stripe": ("billing.client",),
    "tiktoken": ("metering.tokens",),
    "cryptography": ("common.secrets", "common.signatures", "shareai_node"),
    "celery": (
        "accounts.tasks",
        "billing.earnings.tasks",
        "billing.tasks",
        "console.api.tasks",
        "console.celery",
        "console.tasks",
        "ledger.tasks",
        "metering.tasks",
        "providers.tasks",
        "routing.tasks",
    ),
}


def test_the_contracts_of_the_floors_are_kept():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "0 broken" in done.stdout, done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("module", DATA_PLANE)
def test_the_data_plane_does_no_sql(module):
    reached = reached_from(module, WIRED)
    assert [way_to(name, reached, module) for name in reached if is_within(name, "django.db")] == []


@pytest.mark.parametrize("module", WITHOUT_DJANGO)
def test_what_serves_a_request_knows_no_django(module):
    reached = reached_from(module, ())
    assert [way_to(name, reached, module) for name in reached if is_within(name, "django")] == []


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_library_stays_where_it_belongs(package):
    users = [module for module in files() if any(is_within(name, package) for name in imports_of(module))]
    assert [user for user in users if not any(is_within(user, home) for home in ONLY_IN[package])] == []


def test_the_product_never_imports_its_tests_or_its_demo():
    found = {
        module: name
        for module in files()
        for name in imports_of(module)
        if is_within(name, "tests") or is_within(name, "bench") or is_within(name, "demo")
    }
    assert found == {}
