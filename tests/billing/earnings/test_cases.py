"""Doubts: told, answered, decided; and what is given back to whom."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.audit import Actor
from accounts.errors import InvalidField, NotPermitted
from accounts.models import AuditEvent
from accounts.organizations import create_organization
from billing.earnings import cases, causes, tasks
from billing.earnings.errors import CaseClosed
from billing.earnings.maturity import mature
from billing.earnings.models import Case, Donation, Lot
from common.money import NANOS_PER_USD
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.models import Transfer
from ledger.transfers import post
from nodes.recount import INFLATED, MORE_THAN_BYTES, NO_ANSWER, PROMPT_INFLATED, TOO_FAST, WRONG_ANSWER
from tests.billing.earnings.conftest import PRICE, SHARE

TEN = 10 * NANOS_PER_USD
STAFF = Actor.system("staff")


@pytest.fixture
def case(served, doubted):
    """Of two requests, 3,000 tokens together, of which 600 were more than was counted here."""
    served("req_1")
    served("req_2")
    doubted(INFLATED, said=800, counted=200)
    assert cases.look(timezone.now()) == 1
    return Case.objects.get()


def test_a_case_is_opened_once_and_told(case, rival):
    assert (case.org, case.state, case.lot.requests) == (rival, Case.OPEN, 2)
    assert case.answer_until > timezone.now() + timedelta(days=6)
    assert cases.look(timezone.now()) == 0
    assert AuditEvent.objects.filter(org=rival, action="earnings.case_opened").count() == 1


@pytest.mark.parametrize(
    ("kind", "times", "said", "counted", "share"),
    [
        (INFLATED, 1, 800, 200, 600 / 3000),
        (MORE_THAN_BYTES, 1, 9000, 0, 1 / 2),
        (PROMPT_INFLATED, 1, 100, 200, 0),
        (TOO_FAST, 1, 0, 0, 1 / 2),
        (TOO_FAST, 7, 0, 0, 1),
        (WRONG_ANSWER, 2, 0, 0, 0),
        (WRONG_ANSWER, 3, 0, 0, 1),
        (NO_ANSWER, 99, 0, 0, 0),
    ],
)
def test_what_each_doubt_puts_at_stake(served, doubted, kind, times, said, counted, share):
    served("req_1")
    served("req_2")
    doubt = doubted(kind, times, said, counted)
    assert float(cases.share_at_stake(Lot.objects.get(), [doubt])) == pytest.approx(share)
    assert cases.look(timezone.now()) == int(share > 0)


def test_doubts_of_the_same_answers_count_once(case, doubted):
    doubted(PROMPT_INFLATED, said=800, counted=200)
    assert float(cases.share_at_stake(case.lot, list(cases.doubts_behind(case.lot)))) == pytest.approx(0.2)


def test_an_upheld_case_gives_back_to_who_paid_the_fee_included(case, balances, acme):
    row = cases.uphold(case, STAFF, "counted again")
    assert (row.taken, row.refunded) == (2 * SHARE // 5, 2 * PRICE // 5)
    assert balances() == {
        "acme wallet": TEN - 2 * PRICE * 4 // 5, "promo": -TEN, "rival rewards_escrow": 2 * SHARE * 4 // 5,
        "revenue": 2 * (PRICE - SHARE) * 4 // 5,
    }  # fmt: skip
    assert Transfer.objects.get(pk=row.transfer_id).business_id == f"clawback:{row.public_id}"
    assert AuditEvent.objects.filter(action="earnings.case_upheld").exists()
    with pytest.raises(CaseClosed):
        cases.uphold(case, STAFF)
    with pytest.raises(CaseClosed):
        cases.dismiss(case, STAFF)


def test_a_dismissed_case_takes_nothing_and_the_lot_matures(case, rival, settings):
    settings.EARNINGS_TRUST_REQUESTS = 1
    cases.dismiss(case, STAFF)
    assert mature(rival, timezone.now() + timedelta(days=14)) == 2 * SHARE


def test_the_owner_answers_and_then_the_clock_takes_nothing(case, rival, as_mallory):
    row = cases.answer(case, as_mallory, " A new vocabulary: see our notes. ")
    assert (row.state, row.answer) == (Case.ANSWERED, "A new vocabulary: see our notes.")
    assert cases.uphold_unanswered(timezone.now() + timedelta(days=30)) == 0
    for text in ("", " ", "x" * 2001):
        with pytest.raises(InvalidField):
            cases.answer(case, as_mallory, text)


def test_silence_gives_back(case):
    Case.objects.update(answer_until=timezone.now() - timedelta(seconds=1))
    tasks.look_into_doubts()
    row = Case.objects.get()
    assert (row.state, row.taken, row.note) == (Case.UPHELD, 2 * SHARE // 5, cases.NO_ANSWER_CAME)
    assert cases.uphold_unanswered(timezone.now() + timedelta(days=30)) == 0


def test_nobody_answers_for_another_organisation(case, as_alice, as_carol):
    for actor in (as_alice, as_carol):
        with pytest.raises(NotPermitted):
            cases.answer(case, actor, "mine")


def test_of_exchanged_tokens_only_what_is_left_is_taken_and_the_platform_bears_the_rest(
    served, doubted, chosen, rival, balances
):
    chosen(exchanged=100)
    served()
    tokens, promo = ensure_account(kinds.TOKENS, rival), ensure_account(kinds.PROMO)
    post(Draft("spent", "test", {tokens.pk: 100 - SHARE, promo.pk: SHARE - 100}))
    doubted(TOO_FAST)
    cases.look(timezone.now())
    row = cases.uphold(Case.objects.get(), STAFF)
    assert (row.taken, row.refunded) == (100, PRICE)
    assert balances()["acme wallet"] == TEN
    assert balances()["revenue"] == -SHARE + 100


def test_gifts_are_taken_back_from_the_causes(served, doubted, chosen, cause):
    chosen(donated=50, **{cause.slug: 1})
    served()
    doubted(TOO_FAST)
    cases.look(timezone.now())
    row = cases.uphold(Case.objects.get(), STAFF)
    assert row.taken == SHARE
    assert causes.total_of(cause).given == 0
    gift = Donation.objects.get()
    assert gift.taken == gift.nanos


def test_of_a_mix_each_part_is_taken_back_where_it_went(served, doubted, chosen, cause, balances):
    chosen(exchanged=30, donated=20, **{cause.slug: 1})
    served("req_1")
    served("req_2")
    doubted(TOO_FAST)
    cases.look(timezone.now())
    row = cases.uphold(Case.objects.get(), STAFF)
    assert (row.taken, row.refunded) == (SHARE, PRICE)
    left = balances()
    assert (left["rival tokens"], left["rival rewards_escrow"]) == (SHARE * 30 // 100, SHARE * 50 // 100)
    assert causes.total_of(cause).given == SHARE * 20 // 100
    lot = Lot.objects.get()
    assert (lot.taken, lot.taken_escrow) == (SHARE, SHARE * 50 // 100)


def test_each_payer_gets_its_part_back(served, doubted, fund, make_user, case):
    third = create_organization(make_user("dora@third.test", name="Dora"), "Third")
    purse = fund(third, TEN)
    served("req_3", org_id=third.pk, output_tokens=0)
    row = cases.uphold(case, STAFF)
    share = 600 / 4000
    assert row.refunded == int(2 * PRICE * share) + int(1_000_000 * share)
    purse.refresh_from_db()
    assert purse.balance == TEN - 1_000_000 + int(1_000_000 * share)
