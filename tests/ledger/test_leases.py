"""Several processes on one account, some of them killed: never a unit too much, hardly a unit unused."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

from ledger import leases
from ledger.allowances import Ask, Return
from ledger.models import Entry, Lease, Lessee
from ledger.tasks import reap_leases
from tests.architecture.modules import ROOT
from tests.stack import database_url

USD = 1_000_000_000
BOUND = USD // 10
WAIT_S = 120.0


@contextmanager
def cursor_in_transaction() -> Iterator:
    with transaction.atomic(), connection.cursor() as cursor:
        yield cursor


def start(account, revenue, actual) -> tuple[UUID, subprocess.Popen]:
    lessee = uuid4()
    words = [database_url(), lessee, account.pk, revenue.pk, BOUND, actual]
    command = [sys.executable, "-m", "tests.ledger.spender", *map(str, words)]
    return lessee, subprocess.Popen(command, cwd=ROOT)


def calls(account) -> list[int]:
    return list(Entry.objects.filter(account=account, amount__lt=0).values_list("amount", flat=True))


def wait_for(condition) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "did not come about"
        time.sleep(0.02)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen]]:
    processes: list[subprocess.Popen] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("is_one_killed", [False, True], ids=["all live", "one is killed"])
@pytest.mark.parametrize("percent", [100, 10])
def test_ten_dollars_are_spent_and_no_more(
    transactional_db, topped_up, revenue, stands, started, percent, is_one_killed
):
    actual = BOUND * percent // 100
    spenders = [start(topped_up, revenue, actual) for _ in range(3)]
    started += [process for _, process in spenders]
    if is_one_killed:
        lessee, victim = spenders[0]
        wait_for(lambda: victim.poll() is not None or Lease.objects.filter(lessee=lessee, amount__gt=0).exists())
        victim.kill()
        victim.wait()
        with cursor_in_transaction() as cursor:
            leases.drained(cursor, lessee)
        reap_leases()
    for _, process in spenders[is_one_killed:]:
        assert process.wait(WAIT_S) == 0
    balance, held = stands(topped_up)
    assert held == 0
    assert balance == 10 * USD + sum(calls(topped_up))
    assert 0 <= balance < BOUND
    assert set(calls(topped_up)) == {-actual}
    if percent == 100:
        assert len(calls(topped_up)) == 100


@pytest.fixture
def lessee(db) -> UUID:
    lessee = uuid4()
    with cursor_in_transaction() as cursor:
        leases.begin(cursor, lessee)
    return lessee


def lease(lessee, account, wanted, at_least) -> int:
    with cursor_in_transaction() as cursor:
        return leases.lease(cursor, lessee, account.pk, wanted=wanted, at_least=at_least)


def test_slices_shrink_with_what_is_left_down_to_exactly_one_request(topped_up, lessee, stands):
    slices = []
    while amount := lease(lessee, topped_up, 4 * USD, BOUND):
        slices.append(amount)
    assert slices[0] == 12 * BOUND  # an eighth of $10.00, in whole requests
    assert slices == sorted(slices, reverse=True)
    assert slices[-7:] == [BOUND] * 7
    assert stands(topped_up) == (10 * USD, 10 * USD)


def test_errands_give_back_before_they_ask(topped_up, lessee, stands):
    assert lease(lessee, topped_up, 10 * USD, 10 * USD) == 10 * USD
    ask = Ask(topped_up.pk, BOUND, BOUND)
    with cursor_in_transaction() as cursor:
        assert leases.run(cursor, lessee, [ask, Return(topped_up.pk, 8 * USD)]) == [(ask, BOUND)]
    assert stands(topped_up) == (10 * USD, 2 * USD + BOUND)


def test_more_than_was_leased_is_not_given_back(topped_up, lessee, stands):
    lease(lessee, topped_up, BOUND, BOUND)
    with cursor_in_transaction() as cursor:
        leases.give_back(cursor, lessee, {topped_up.pk: 5 * BOUND})
    assert stands(topped_up) == (10 * USD, 0)


def test_only_the_dead_are_reaped(topped_up, lessee, stands):
    lease(lessee, topped_up, BOUND, BOUND)
    reap_leases()
    assert stands(topped_up) == (10 * USD, BOUND)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ledger_lessee SET seen_at = now() - interval '59 minutes'")
    reap_leases()
    assert Lessee.objects.filter(pk=lessee).exists()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ledger_lessee SET seen_at = now() - interval '61 minutes'")
    reap_leases()
    assert stands(topped_up) == (10 * USD, 0)


def test_a_sign_of_life_keeps_the_leases(topped_up, lessee, stands):
    lease(lessee, topped_up, BOUND, BOUND)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ledger_lessee SET seen_at = now() - interval '61 minutes'")
    with cursor_in_transaction() as cursor:
        assert leases.renew(cursor, lessee)
    reap_leases()
    assert stands(topped_up) == (10 * USD, BOUND)


def test_who_was_reaped_gets_nothing_more_and_learns_it(topped_up, lessee, stands):
    with cursor_in_transaction() as cursor:
        leases.drained(cursor, lessee)
        assert not leases.renew(cursor, lessee)
    assert lease(lessee, topped_up, BOUND, BOUND) == 0
    reap_leases()
    assert lease(lessee, topped_up, BOUND, BOUND) == 0
    assert stands(topped_up) == (10 * USD, 0)
