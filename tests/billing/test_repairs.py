"""What an operator takes back by hand: `manage.py reverse`."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import OperatorEvent
from billing import credits
from common.money import NANOS_PER_USD
from console.words import ACTIONS, OBJECT_TYPES
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.models import Entry, Transfer
from ledger.transfers import post
from tests.billing.conftest import record

DOLLAR = NANOS_PER_USD


def reverse(business_id: str, reason: str = "Given to the wrong one", **options) -> str:
    out = StringIO()
    call_command("reverse", business_id, reason=reason, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def gift(acme, as_alice) -> str:
    return credits.give(acme, as_alice, 5 * DOLLAR, purpose="launch", reason="Launch").business_id


def test_it_posts_the_opposite_once_and_notes_it(acme, gift):
    assert "Taken back" in reverse(gift)
    assert "Was taken back before" in reverse(gift)
    assert ensure_account(kinds.WALLET, acme).balance == 0
    (event,) = OperatorEvent.objects.all()
    assert (event.action, event.object_type, event.object_label) == ("transfer.reversed", "transfer", gift)
    assert {event.action, event.object_type} <= ACTIONS.keys() | OBJECT_TYPES.keys()
    assert event.after["reason"] == "Given to the wrong one"
    assert "-5.000000000 USD" in event.after.values()


def test_a_dry_run_says_what_would_move_and_moves_nothing(acme, gift):
    said = reverse(gift, dry_run=True)
    assert "-5.000000000 USD  wallet" in said
    assert "nothing has moved" in said
    assert ensure_account(kinds.WALLET, acme).balance == 5 * DOLLAR
    assert Transfer.objects.count() == 1
    assert not OperatorEvent.objects.exists()


@pytest.mark.parametrize(("business_id", "reason"), [("none:such", "x"), ("credit", " ")])
def test_it_names_what_is_missing(db, business_id, reason):
    with pytest.raises(CommandError, match=r"There is no transfer|Say why"):
        reverse(business_id, reason)


def test_what_is_spent_stays(acme, gift):
    wallet, revenue = ensure_account(kinds.WALLET, acme), ensure_account(kinds.REVENUE)
    post(Draft("fee:1", "fee", {wallet.pk: -DOLLAR, revenue.pk: DOLLAR}))
    with pytest.raises(CommandError):
        reverse(gift)
    assert not OperatorEvent.objects.exists()
    assert Transfer.objects.count() == 2


def test_a_reversal_and_one_for_another_reason_are_refused(acme, gift):
    reverse(gift)
    with pytest.raises(CommandError):
        reverse(gift, "Another reason")
    reversal = Transfer.objects.get(kind="reversal").business_id
    with pytest.raises(CommandError):
        reverse(reversal)


def test_what_charges_tell_of_is_refused_and_what_they_do_not_is_not(wallet, used, sold):
    record(used())
    with pytest.raises(CommandError, match=r"manage\.py rerate"):
        reverse("settlement:req_1")
    revenue = ensure_account(kinds.REVENUE)
    post(Draft("settlement:stray", "settlement", {wallet.pk: -DOLLAR, revenue.pk: DOLLAR}))
    assert "Taken back" in reverse("settlement:stray", "Found by reconcile: I7")


@pytest.mark.parametrize("kind", ["refund", "dispute", "allotment", "budget_spent"])
def test_what_others_tell_of_is_refused(wallet, kind):
    revenue = ensure_account(kinds.REVENUE)
    post(Draft(f"{kind}:1", kind, {wallet.pk: -DOLLAR, revenue.pk: DOLLAR}))
    before = Entry.objects.count()
    with pytest.raises(CommandError, match=r"Stripe|budget"):
        reverse(f"{kind}:1")
    assert Entry.objects.count() == before
