"""How an account stood: the same as adding up all that moved before."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from ledger.drafts import Draft
from ledger.history import stands_at
from ledger.models import Entry
from ledger.transfers import post

pytestmark = pytest.mark.django_db
BEGUN = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def moved(wallet, clearing, revenue):
    """An hour apart, among entries of other accounts: +100, then -1 to -40."""
    post(Draft("topup:1", "topup", {clearing.pk: -100_000, wallet.pk: 100_000}))
    for number in range(1, 41):
        post(Draft(f"call:{number:02d}", "usage", {wallet.pk: -number, revenue.pk: number}))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("ALTER TABLE ledger_transfer DISABLE TRIGGER ledger_transfer_append_only")
        cursor.execute(
            "UPDATE ledger_transfer SET posted_at = %s + interval '1 hour' *"
            " CASE kind WHEN 'topup' THEN 0 ELSE right(business_id, 2)::int END",
            [BEGUN],
        )
        cursor.execute("ALTER TABLE ledger_transfer ENABLE ALWAYS TRIGGER ledger_transfer_append_only")
    return wallet


def test_a_stand_is_the_sum_of_what_moved_before(moved):
    moments = [BEGUN + timedelta(minutes=30 * number) for number in range(-2, 84)]
    for moment, stand in zip(moments, stands_at(moved.pk, moments), strict=True):
        earlier = Entry.objects.filter(account=moved, transfer__posted_at__lt=moment)
        assert stand.balance == sum(earlier.values_list("amount", flat=True))
        assert set(earlier) == set(Entry.objects.filter(account=moved, id__lt=stand.first_id))


def test_an_account_that_never_moved_stands_at_nothing(wallet):
    assert [(stand.first_id, stand.balance) for stand in stands_at(wallet.pk, [BEGUN])] == [(0, 0)]


@pytest.mark.breaks_invariants
def test_entries_have_the_kind_of_their_transfer_also_when_nobody_says_it(moved, revenue):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO ledger_transfer (business_id, kind, reason, digest) VALUES ('x', 'gift', '', '')")
        cursor.execute(
            "INSERT INTO ledger_entry (transfer_id, account_id, amount, balance_after)"
            f" SELECT id, account, amount, 1 FROM ledger_transfer, (VALUES ({moved.pk}, -1), ({revenue.pk}, 1))"
            " AS v (account, amount) WHERE business_id = 'x'"
        )
    said = Entry.objects.values_list("kind", "transfer__kind")
    assert {kind for kind, _of_transfer in said} == {"topup", "usage", "gift"}
    assert all(kind == of_transfer for kind, of_transfer in said)


@pytest.mark.parametrize("named", [("topup",), ("usage",), ("topup", "usage"), ("a", "topup", "z"), ("z", "y")])
def test_other_kinds_are_all_but_those_named(moved, named):
    expected = Entry.objects.exclude(kind__in=named).order_by("id")
    assert list(Entry.objects.of_other_kinds(*named).order_by("id")) == list(expected)
