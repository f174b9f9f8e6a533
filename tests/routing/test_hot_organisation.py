"""A hot organisation: while its accounts are locked, its requests are answered from what their process has leased."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import psycopg
import pytest

from accounts.audit import Actor
from billing import credits
from billing.models import Charge
from common.ids import new_id
from common.money import NANOS_PER_USD
from ledger import kinds
from ledger.invariants import reconcile
from ledger.models import Account
from metering import wiring
from providers.models import Connection
from providers.services import create_connection, delete_connection
from tests.ownredis import eventually
from tests.stack import Tenant

COUNT = 40
TOKEN_NANOS = NANOS_PER_USD // 1000
GIVEN = 100 * NANOS_PER_USD
SYSTEM = Actor.system("tests")
LOCK = "SELECT FROM ledger_account WHERE org_id = %s OR org_id IS NULL ORDER BY id FOR UPDATE"
WAITING = "SELECT application_name FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
UNGRANTED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))"


@pytest.fixture
def sold(tenant: Tenant, upstreams) -> Iterator[Connection]:
    """The platform's own, at a tenth of a cent for each token of an answer."""
    made = create_connection(
        None, SYSTEM, preset="custom", name=f"Sold {new_id('x')}", base_url=upstreams.a.base_url,
        api_keys=["upstream-key"], models=[{"id": "other", "input_price": "0", "output_price": "1000"}],
    )  # fmt: skip
    yield made
    delete_connection(made, SYSTEM)
    assert reconcile() == []


def ask(http: httpx.Client, sold: Connection) -> httpx.Response:
    messages = [{"role": "user", "content": "[[tokens:1]]"}]
    body = {"model": f"{sold.slug}/other", "max_tokens": 10, "messages": messages}
    return http.post("/v1/chat/completions", json=body)


def settled(tenant: Tenant) -> tuple[int, int, int]:
    """How many requests, and what is left and held."""
    wallet = Account.objects.get(org=tenant.org, kind=kinds.WALLET)
    return Charge.objects.filter(org_id=tenant.org.pk).count(), wallet.balance, wallet.held


def test_no_request_waits_for_a_lock_that_settlement_waits_for(http, tenant, sold):
    credits.give(tenant.org, SYSTEM, GIVEN, purpose=new_id("gift"), reason="Test")
    # One connection, hence one process of the gateway, which now leases its slice.
    assert [ask(http, sold).status_code for _ in range(3)] == [200] * 3
    with psycopg.connect(wiring.conninfo()) as holder, psycopg.connect(wiring.conninfo(), autocommit=True) as watcher:
        pid = holder.info.backend_pid
        holder.execute(LOCK, [tenant.org.pk])
        before = settled(tenant)[0]
        answers = [ask(http, sold) for _ in range(COUNT)]
        # The lock is still held, so none of them can have waited for it.
        assert [answer.status_code for answer in answers] == [200] * COUNT
        assert settled(tenant)[0] == before

        def waiting() -> set[str]:
            return {name for (name,) in watcher.execute(WAITING, [pid])}

        eventually(lambda: "shareai recorder" in waiting(), 20)
        assert watcher.execute(UNGRANTED, [pid]).fetchone() != (0,)
        assert waiting() <= {"shareai recorder", "shareai treasury"}
        holder.rollback()
    spent = (COUNT + 3) * TOKEN_NANOS
    eventually(lambda: settled(tenant) == (COUNT + 3, GIVEN - spent, 0), 30)
