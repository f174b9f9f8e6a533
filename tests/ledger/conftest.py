"""Accounts of the cast, and what must hold after every test that moved money."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import connection

from common.money import NANOS_PER_USD
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.invariants import INVARIANTS, Finding, reconcile
from ledger.models import Account
from ledger.transfers import post


@pytest.fixture(autouse=True)
def _invariants_hold_after(request) -> Iterator[None]:
    """Tests that break them on purpose are marked `breaks_invariants`."""
    databases = [name for name in ("transactional_db", "db") if name in request.fixturenames]
    for name in databases[:1]:
        request.getfixturevalue(name)  # before this fixture, so that it is still there after the test
    yield
    if databases and not request.node.get_closest_marker("breaks_invariants"):
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        assert own_findings() == []


@pytest.fixture
def wallet(acme) -> Account:
    return ensure_account(kinds.WALLET, acme)


@pytest.fixture
def clearing(db) -> Account:
    return ensure_account(kinds.STRIPE_CLEARING)


@pytest.fixture
def revenue(db) -> Account:
    return ensure_account(kinds.REVENUE)


@pytest.fixture
def topped_up(wallet, clearing) -> Account:
    """The wallet with $10.00 in it."""
    post(Draft("topup:first", "topup", {clearing.pk: -10 * NANOS_PER_USD, wallet.pk: 10 * NANOS_PER_USD}))
    return wallet


@pytest.fixture
def stands() -> Callable[[Account], tuple[int, int]]:
    """What an account has and holds."""

    def stands(account: Account) -> tuple[int, int]:
        account.refresh_from_db()
        return account.balance, account.held

    return stands


def own_findings() -> list[Finding]:
    """Of the ledger alone: accounts are moved here that are other rooms' books to explain."""
    own = {invariant.name for invariant in INVARIANTS}
    return [finding for finding in reconcile() if finding.invariant in own]
