"""Many at once on the same accounts: nobody overdraws, each id moves money once, nobody waits in a circle."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

from django.db import connection, transaction

from ledger import holds, leases
from ledger.drafts import Draft
from ledger.errors import NotCovered
from ledger.posting import Posted, post_all
from ledger.transfers import post, reverse

USD = 1_000_000_000
THREADS = 8


def at_once(work: Callable[[int], object]) -> list:
    barrier = Barrier(THREADS)

    def run(number: int) -> object:
        try:
            barrier.wait(30)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_an_account_is_spent_to_the_last_unit_and_not_beyond(transactional_db, topped_up, revenue, stands):
    def spend(number: int) -> int:
        spent = 0
        for i in range(20):
            try:
                post(Draft(f"call:{number}:{i}", "usage", {topped_up.pk: -USD // 10, revenue.pk: USD // 10}))
            except NotCovered:
                continue
            spent += 1
        return spent

    assert sum(at_once(spend)) == 100
    assert stands(topped_up) == (0, 0)


def test_one_business_id_moves_money_once(transactional_db, topped_up, revenue, stands):
    draft = Draft("call:1", "usage", {topped_up.pk: -3, revenue.pk: 3})
    posted: list[Posted] = at_once(lambda _: post(draft))
    assert sum(each.is_new for each in posted) == 1
    assert len({each.id for each in posted}) == 1
    back = at_once(lambda _: reverse("call:1", "charged twice"))
    assert sum(each.is_new for each in back) == 1
    assert stands(topped_up) == (10 * USD, 0)


def test_opposite_directions_do_not_wait_in_a_circle(transactional_db, topped_up, revenue, stands):
    def swap(number: int) -> None:
        way = 1 if number % 2 else -1
        names = [f"swap:{number}:{i}" for i in range(30)]
        moves = {topped_up.pk: way, revenue.pk: -way} if number % 3 else {revenue.pk: -way, topped_up.pk: way}
        for name in names:
            post(Draft(name, "test", moves))

    at_once(swap)
    assert stands(topped_up) == (10 * USD, 0)


def test_batches_that_share_ids_and_accounts_are_posted_once(transactional_db, topped_up, revenue, stands):
    drafts = [Draft(f"call:{i}", "usage", {topped_up.pk: -1, revenue.pk: 1}) for i in range(50)]

    def settle(number: int) -> int:
        mine = drafts[number:] + drafts[:number]
        with transaction.atomic(), connection.cursor() as cursor:
            return sum(posted.is_new for posted in post_all(cursor, mine))

    assert sum(at_once(settle)) == 50
    assert stands(revenue) == (50, 0)


def test_holds_never_hold_more_than_there_is(transactional_db, topped_up, stands):
    def hold(number: int) -> int:
        held = 0
        for i in range(4):
            try:
                holds.reserve(f"hold:{number}:{i}", topped_up.pk, 3 * USD)
            except NotCovered:
                continue
            held += 1
        return held

    assert sum(at_once(hold)) == 3
    assert stands(topped_up) == (10 * USD, 9 * USD)


def test_a_hold_ends_once(transactional_db, topped_up, revenue, stands):
    holds.reserve("hold:1", topped_up.pk, USD)
    draft = Draft("payout:1", "payout", {topped_up.pk: -USD, revenue.pk: USD})
    posted = at_once(lambda _: holds.capture("hold:1", draft))
    assert sum(each.is_new for each in posted) == 1
    assert stands(topped_up) == (9 * USD, 0)


def test_slices_never_sum_to_more_than_there_is(transactional_db, topped_up, stands):
    def lease(number: int) -> int:
        lessee, total = uuid4(), 0
        with transaction.atomic(), connection.cursor() as cursor:
            leases.begin(cursor, lessee)
        while True:
            with transaction.atomic(), connection.cursor() as cursor:
                amount = leases.lease(cursor, lessee, topped_up.pk, wanted=USD, at_least=USD // 100)
            if amount == 0:
                return total
            total += amount

    assert sum(at_once(lease)) == 10 * USD
    assert stands(topped_up) == (10 * USD, 10 * USD)
