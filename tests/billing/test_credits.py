"""Credits by the operator's hand: once for each purpose, seen by the organisation, in the audit log."""

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEvent
from ledger.invariants import reconcile
from ledger.models import Transfer


def give(*words: str) -> None:
    call_command("give_credit", *words)


def test_gives_once_for_each_purpose(acme, balances, capsys):
    for _ in range(2):
        give("acme", "25", "--purpose", "welcome", "--reason", "Welcome")
    assert balances() == {"acme wallet": 25 * 10**9, "promo": -25 * 10**9}
    assert capsys.readouterr().out == (
        "Given: $25.00. Acme has $25.00 now.\nWas given before: $25.00. Acme has $25.00 now.\n"
    )
    assert AuditEvent.objects.of(acme).filter(action="billing.credit_given").count() == 1


def test_takes_back_at_most_what_is_there(acme, balances):
    give("acme", "25", "--purpose", "welcome", "--reason", "Welcome")
    give("acme", "-10", "--purpose", "mistake", "--reason", "Mistake")
    with pytest.raises(CommandError):
        give("acme", "-20", "--purpose", "more", "--reason", "More")
    assert balances()["acme wallet"] == 15 * 10**9


@pytest.mark.parametrize("amount", ["ten", "NaN", "0", "1e30", "0.0000000001"])
def test_an_amount_that_is_none_is_refused(acme, amount):
    with pytest.raises(CommandError):
        give("acme", amount, "--purpose", "x", "--reason", "x")
    assert not Transfer.objects.exists()
    assert reconcile() == []


def test_another_amount_for_the_same_purpose_is_refused(acme):
    give("acme", "1", "--purpose", "x", "--reason", "x")
    with pytest.raises(CommandError, match="used for another"):
        give("acme", "2", "--purpose", "x", "--reason", "x")


def test_an_organisation_that_is_not_there_is_told(db):
    with pytest.raises(CommandError, match="no organisation"):
        give("nobody", "1", "--purpose", "x", "--reason", "x")
