"""Sold models, wallets with money in them, and what must hold after every test that moved money."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.audit import Actor
from accounts.models import Organization
from billing.settlement import settler
from common.money import NANOS_PER_USD
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.invariants import reconcile
from ledger.models import Account
from ledger.transfers import post
from metering.ingest import insert
from metering.usage import UsageRecord
from providers.models import ServedModel
from providers.services import create_connection
from tests.emptying import empty
from tests.metering.records import usage_record


@pytest.fixture(autouse=True)
def _invariants_hold_after(request) -> Iterator[None]:
    """Tests that break them on purpose are marked `breaks_invariants`."""
    databases = [name for name in ("transactional_db", "db") if name in request.fixturenames]
    for name in databases[:1]:
        request.getfixturevalue(name)
    if databases:
        empty("metering_usage")
    yield
    if databases and not request.node.get_closest_marker("breaks_invariants"):
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        assert reconcile() == []


@pytest.fixture
def sold(db) -> ServedModel:
    """A model of the platform's own at $1 and $4 per million tokens, $0.10 of them for cached input."""
    price = {"id": "fast", "input_price": "1", "cached_input_price": "0.1", "output_price": "4"}
    connection = create_connection(
        None, Actor.system("tests"), preset="custom", name="Upstream", base_url="https://llm.example/v1",
        api_keys=["sk-upstream-0123456789abcdef"], models=[price],
    )  # fmt: skip
    return connection.served_models.get()


@pytest.fixture
def fund() -> Callable[[Organization, int], Account]:
    """Puts nano-USD into an organisation's wallet."""

    def fund(org: Organization, nanos: int) -> Account:
        wallet = ensure_account(kinds.WALLET, org)
        post(Draft(f"topup:{org.pk}:{nanos}", "topup", {ensure_account(kinds.PROMO).pk: -nanos, wallet.pk: nanos}))
        wallet.refresh_from_db()
        return wallet

    return fund


@pytest.fixture
def wallet(acme, fund) -> Account:
    """Acme's, with $10.00 in it."""
    return fund(acme, 10 * NANOS_PER_USD)


@pytest.fixture
def balances() -> Callable[[], dict[str, int]]:
    """What is in the accounts that have anything, by kind; those of organisations with their name."""

    def balances() -> dict[str, int]:
        rows = Account.objects.exclude(balance=0).select_related("org")
        return {f"{row.org.slug} {row.kind}" if row.org else row.kind: row.balance for row in rows}

    return balances


@pytest.fixture
def used(acme, sold) -> Callable[..., UsageRecord]:
    """A request of acme to the sold model: 1,000 tokens in, 200 of them cached, 500 out, which is $0.00282."""

    def used(request_id: str = "req_1", **fields) -> UsageRecord:
        ordinary = {
            "org_id": acme.pk, "target_id": sold.pk, "price_version": sold.price_version, "input_tokens": 1000,
            "cached_tokens": 200, "output_tokens": 500, "billing_reason": "completed",
            "started_at": timezone.now().isoformat(),
        }  # fmt: skip
        return usage_record(request_id, **ordinary | fields)

    return used


COST = 2_820_000
"""Of `used`, in nano-USD."""


def record(*records: UsageRecord, hook: Callable[..., None] | None = None) -> None:
    """As the recorder does it, in a transaction of its own."""
    lines: Sequence[bytes] = [msgspec.json.encode(one) for one in records]
    with transaction.atomic(), connection.cursor() as cursor:
        insert(cursor.cursor, lines, records, [hook or settler()])
