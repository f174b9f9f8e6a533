"""A machine's price that is put right: callers pay the difference, owners get or lose their share of it, once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import audit
from accounts.audit import Actor
from accounts.models import OperatorEvent
from billing.earnings import cases, maturity
from billing.earnings.models import Case, Lot
from billing.models import Charge
from billing.rerating import Rerated, rerate
from common.money import NANOS_PER_USD, format_usd
from ledger.invariants import reconcile
from ledger.models import Transfer
from nodes.recount import TOO_FAST, WRONG_ANSWER
from tests.billing.conftest import record
from tests.billing.earnings.conftest import PRICE, SHARE

NOW = timezone.now()
ALWAYS = (NOW - timedelta(days=1), NOW + timedelta(days=1))
TEN = 10 * NANOS_PER_USD


@pytest.fixture
def reprice(machine):
    """As the owner does it; gives the version. At "half" a request costs half of PRICE, at "double" twice as much."""

    def reprice(times: float) -> int:
        machine.input_price_nanos = int(NANOS_PER_USD * times)
        machine.output_price_nanos = int(4 * NANOS_PER_USD * times)
        machine.price_version += 1
        machine.save()
        return machine.price_version

    return reprice


def lot() -> tuple[int, ...]:
    one = Lot.objects.get()
    return one.paid, one.earned, one.taken, one.waiting


def test_too_dear_a_price_is_given_back_by_the_owner_as_well(served, machine, reprice, balances):
    served("req_1")
    served("req_2")
    half = reprice(0.5)
    assert rerate(-machine.pk, half, *ALWAYS) == Rerated(2, -PRICE)
    assert balances() == {
        "acme wallet": TEN - PRICE, "promo": -TEN, "rival rewards_escrow": SHARE, "revenue": PRICE - SHARE,
    }  # fmt: skip
    assert lot() == (PRICE, 2 * SHARE, SHARE, SHARE)
    assert rerate(-machine.pk, half, *ALWAYS) == Rerated(0, 0)
    assert Transfer.objects.filter(kind="rerating").count() == 1


def test_there_and_back_again_loses_nobody_anything(served, machine, reprice, balances):
    served()
    before = balances()
    half, double = reprice(0.5), reprice(2)
    for version in (half, double, half, 2):
        rerate(-machine.pk, version, *ALWAYS)
    assert balances() == before
    assert lot() == (PRICE, 3 * SHARE, 2 * SHARE, SHARE)
    assert Charge.objects.count() == 5


def test_what_is_charged_in_addition_is_shared(served, machine, reprice, balances):
    served()
    assert rerate(-machine.pk, reprice(2), *ALWAYS).nanos == PRICE
    assert balances()["rival rewards_escrow"] == 2 * SHARE
    assert balances()["acme wallet"] == TEN - 2 * PRICE
    assert lot() == (2 * PRICE, 2 * SHARE, 0, 2 * SHARE)


def test_what_has_matured_stays_earned_and_the_platform_bears_it(served, machine, reprice, balances, rival, settings):
    settings.EARNINGS_MATURITY_DAYS = 0
    settings.EARNINGS_TRUST_REQUESTS = 1
    served()
    matured = maturity.mature(rival, timezone.now())
    rerate(-machine.pk, reprice(0.5), *ALWAYS)
    assert balances()["acme wallet"] == TEN - PRICE // 2
    assert matured == SHARE
    assert balances()["rival rewards_available"] == SHARE
    assert balances()["revenue"] == PRICE // 2 - SHARE
    assert lot() == (PRICE // 2, SHARE, 0, 0)


@pytest.mark.parametrize(("exchanged", "donated"), [(100, 0), (0, 100), (50, 50)])
def test_what_was_exchanged_or_given_stays_so(served, machine, reprice, chosen, cause, balances, exchanged, donated):
    chosen(exchanged, donated, **{cause.slug: 1})
    served()
    rerate(-machine.pk, reprice(0.5), *ALWAYS)
    held = balances()
    assert held.get("rival tokens", 0) == SHARE * exchanged // 100
    assert held.get("ngo_payable", 0) == SHARE * donated // 100
    assert held["acme wallet"] == TEN - PRICE // 2
    rerate(-machine.pk, machine.price_version - 1, *ALWAYS)
    assert lot()[:3] == (PRICE, SHARE, 0)


def test_nobody_earns_more_of_what_is_not_paid(acme, used, machine, reprice, balances):
    record(used(target_id=-machine.pk, price_version=2))
    rerate(-machine.pk, reprice(2), *ALWAYS)
    assert balances() == {"write_off": -2 * PRICE, "revenue": 2 * PRICE}


@pytest.mark.parametrize(("times", "parts"), [(3, 1), (1, 2)], ids=["all of the lot", "half of it"])
def test_a_case_afterwards_takes_its_part_of_what_is_left(served, machine, reprice, doubted, balances, times, parts):
    served("req_1")
    served("req_2")
    rerate(-machine.pk, reprice(0.5), *ALWAYS)
    doubted(WRONG_ANSWER if parts == 1 else TOO_FAST, times=times)
    assert cases.look(timezone.now()) == 1
    row = cases.uphold(Case.objects.get(), Actor.system("staff"))
    assert (row.taken, row.refunded) == (SHARE // parts, PRICE // parts)
    left = PRICE - PRICE // parts
    assert balances()["acme wallet"] == TEN - left
    assert balances().get("rival rewards_escrow", 0) == SHARE - SHARE // parts


@pytest.fixture
def upheld(served, doubted) -> Callable[[int], Case]:
    """A case of two requests, of which one is at stake or, with more times, both."""

    def upheld(times: int) -> Case:
        served("req_1")
        served("req_2")
        doubted(TOO_FAST, times=times)
        cases.look(timezone.now())
        return cases.uphold(Case.objects.get(), Actor.system("staff"))

    return upheld


@pytest.mark.parametrize(("times", "left"), [(2, 0), (1, 1)], ids=["all of it", "half of it"])
@pytest.mark.parametrize("price", [0.5, 2])
def test_what_a_case_gave_back_is_not_given_back_again(upheld, machine, reprice, balances, times, left, price):
    """As if the case had been decided at the new price: of two requests, both or one are not paid for at all."""
    case = upheld(times)
    other = reprice(price)
    rerate(-machine.pk, other, *ALWAYS)
    paid, earned = int(PRICE * price) * left, int(SHARE * price) * left
    held = {"acme wallet": TEN - paid, "promo": -TEN, "rival rewards_escrow": earned, "revenue": paid - earned}
    assert balances() == {name: nanos for name, nanos in held.items() if nanos}
    case.refresh_from_db()
    assert (case.refunded, case.taken) == (int(2 * PRICE * price) - paid, int(2 * SHARE * price) - earned)
    rerate(-machine.pk, 2, *ALWAYS)
    rerate(-machine.pk, other, *ALWAYS)
    rerate(-machine.pk, other, *ALWAYS)
    assert balances() == {name: nanos for name, nanos in held.items() if nanos}
    case.refresh_from_db()
    assert case.corrections == 3
    assert audited(case) == audited(None) != []


def audited(case: Case | None) -> list[tuple]:
    """What the trail of the case's owner says of corrections, or the operator's. Each goes on where one ended."""
    said = audit.events_of(case.org if case else None).filter(action="earnings.case_corrected")
    events = [*said.order_by("sequence")]
    assert [one.before for one in events[1:]] == [one.after for one in events[:-1]]
    assert audit.verify(case.org if case else None).ok
    return [(one.object_id, one.before, one.after, one.actor_label) for one in events]


def test_a_correction_says_what_it_changed_in_both_trails(upheld, machine, reprice):
    case = upheld(1)
    rerate(-machine.pk, reprice(0.5), *ALWAYS)
    [(about, before, after, actor)] = audited(case)
    assert (about, actor) == (case.public_id, "operator")
    assert before == {"taken_usd": format_usd(SHARE), "refunded_usd": format_usd(PRICE)}
    assert after == {"taken_usd": format_usd(SHARE // 2), "refunded_usd": format_usd(PRICE // 2)}
    assert OperatorEvent.objects.get(action="earnings.case_corrected").object_label == case.org.name


def test_a_correction_without_a_case_says_nothing_of_one(served, machine, reprice, rival):
    served()
    rerate(-machine.pk, reprice(0.5), *ALWAYS)
    assert not audit.events_of(rival).filter(action="earnings.case_corrected").exists()


def test_what_was_settled_after_the_verdict_is_no_part_of_it(upheld, served, machine, reprice, balances):
    upheld(2)
    served("req_3")
    rerate(-machine.pk, reprice(0.5), *ALWAYS)
    assert balances()["acme wallet"] == TEN - PRICE // 2
    assert balances()["rival rewards_escrow"] == SHARE // 2


def test_what_matured_of_the_rest_stays_and_what_was_taken_returns_no_more_than_once(
    upheld, machine, reprice, balances, rival, settings
):
    settings.EARNINGS_MATURITY_DAYS = settings.EARNINGS_TRUST_REQUESTS = settings.EARNINGS_TRUST_PERCENT = 0
    upheld(1)
    assert maturity.mature(rival, timezone.now()) == SHARE
    rerate(-machine.pk, reprice(0.5), *ALWAYS)
    assert balances()["acme wallet"] == TEN - PRICE // 2
    assert balances()["rival rewards_available"] == SHARE
    assert balances()["revenue"] == PRICE // 2 - SHARE
    assert lot() == (PRICE, 2 * SHARE, SHARE, 0)


@pytest.mark.breaks_invariants
def test_a_refund_that_is_not_the_share_of_its_case_is_found(upheld):
    case = upheld(1)
    Case.objects.update(share_numerator=2, share_denominator=3)
    found = {(finding.invariant, finding.subject) for finding in reconcile()}
    assert found == {("I9", f"case {case.public_id}")}
