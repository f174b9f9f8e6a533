"""From escrow to what may be paid out: after 14 days, with trust, once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from billing.earnings import cases, tasks
from billing.earnings.maturity import available, mature
from billing.earnings.models import Case, Lot
from billing.earnings.trust import trust_of
from nodes.models import NodeModel
from nodes.recount import NO_ANSWER, TOO_FAST
from tests.billing.earnings.conftest import SHARE, days_on


@pytest.fixture(autouse=True)
def _one_request_is_enough(settings):
    settings.EARNINGS_TRUST_REQUESTS = 1


def test_nothing_matures_before_its_time(served, rival):
    served()
    assert mature(rival, days_on(13)) == 0
    assert available(rival) == 0


def test_after_14_days_it_is_the_owners_once(served, rival, acme, balances):
    served()
    assert mature(rival, days_on(14)) == SHARE
    assert mature(rival, days_on(15)) == 0
    assert (available(rival), available(acme)) == (SHARE, 0)
    assert "rival rewards_escrow" not in balances()
    assert Lot.objects.get().waiting == 0


def test_what_settles_later_into_a_matured_lot_matures_as_well(served, rival, settings):
    settings.EARNINGS_MATURITY_DAYS = 0
    served("req_1")
    assert mature(rival, timezone.now()) == SHARE
    served("req_2")
    assert mature(rival, timezone.now()) == SHARE
    assert available(rival) == 2 * SHARE


def test_the_task_finds_who_has_ripe_lots(served, rival, settings):
    settings.EARNINGS_MATURITY_DAYS = 0
    served()
    tasks.mature()
    assert available(rival) == SHARE


def test_too_few_requests_wait(served, rival, settings):
    settings.EARNINGS_TRUST_REQUESTS = 2
    served("req_1")
    assert mature(rival, days_on(14)) == 0
    assert trust_of(rival, timezone.now()).requests_missing == 1
    served("req_2")
    assert mature(rival, days_on(14)) == 2 * SHARE


def test_doubts_lower_trust_until_they_are_dismissed(served, rival, doubted, as_mallory):
    for number in range(4):
        served(f"req_{number}")
    doubted(TOO_FAST)
    doubted(NO_ANSWER, times=50)
    assert trust_of(rival, timezone.now()).percent == 75
    assert mature(rival, days_on(14)) == 0
    cases.look(timezone.now())
    assert mature(rival, days_on(14)) == 0
    cases.dismiss(Case.objects.get(), as_mallory)
    assert trust_of(rival, timezone.now()).percent == 100
    assert mature(rival, days_on(14)) == 4 * SHARE


def test_a_pending_case_holds_its_own_lot_only(served, rival, machine, doubted, settings):
    settings.EARNINGS_TRUST_PERCENT = 0
    served("req_1")
    other = NodeModel.objects.create(
        org=rival, public_id="nmd_2", node=machine.node, upstream_id="phi4", model_id="phi4", runtime="ollama",
        input_price_nanos=10**9, output_price_nanos=4 * 10**9,
    )  # fmt: skip
    served("req_2", target_id=-other.pk, price_version=1)
    doubted(TOO_FAST)
    assert cases.look(timezone.now()) == 1
    assert mature(rival, days_on(14)) == SHARE
    assert [(lot.target_id, lot.waiting) for lot in Lot.objects.exclude(case=None)] == [(-machine.pk, SHARE)]


@pytest.mark.django_db(transaction=True)
def test_two_workers_move_each_unit_once(served, rival):
    served()

    def work(_: int) -> int:
        try:
            return mature(rival, days_on(14))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(work, range(4))) == [0, 0, 0, SHARE]
    assert available(rival) == SHARE
