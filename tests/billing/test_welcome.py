"""What a person's first organisation begins with, and credit that is paid later."""

import pytest

from accounts.audit import Actor
from accounts.models import AuditEvent
from accounts.organizations import create_organization
from billing import credits, statements
from common.money import NANOS_PER_USD
from ledger.errors import InvalidTransfer, NotCovered
from tests.billing.conftest import COST, record

SYSTEM = Actor.system("tests")


def test_the_first_organisation_of_a_person_is_welcomed(make_user, settings, balances):
    settings.WELCOME_CREDIT_USD = 2.5
    dora = make_user("dora@dora.test")
    first, second = create_organization(dora, "Dora"), create_organization(dora, "Dora again")
    assert balances() == {"dora wallet": 2_500_000_000, "promo": -2_500_000_000}
    assert AuditEvent.objects.of(first).filter(action="billing.credit_given").count() == 1
    assert statements.balance(second).total == 0


def test_nobody_is_welcomed_where_the_operator_gives_nothing(make_user, settings, balances):
    settings.WELCOME_CREDIT_USD = 0.0
    create_organization(make_user("dora@dora.test"), "Dora")
    assert balances() == {}


def test_credit_is_spent_like_other_money_and_owed(acme, used, balances):
    assert credits.set_limit(acme, SYSTEM, NANOS_PER_USD, reason="Invoiced") == 0
    record(used())
    found = statements.balance(acme)
    assert (found.limit, found.owed, found.available) == (NANOS_PER_USD, COST, NANOS_PER_USD - COST)
    credits.give(acme, SYSTEM, COST, purpose="invoice-1", reason="Paid")
    assert statements.balance(acme).owed == 0
    assert balances() == {
        "acme wallet": NANOS_PER_USD, "credit_line": -NANOS_PER_USD, "promo": -COST, "provider_cost": COST,
    }  # fmt: skip


def test_a_limit_changes_by_the_difference_and_is_told(acme):
    for limit, before in ((5, 0), (2, 5), (2, 2), (0, 2), (1, 0)):
        assert credits.set_limit(acme, SYSTEM, limit, reason="Test") == before
        assert statements.balance(acme).limit == limit
    assert AuditEvent.objects.of(acme).filter(action="billing.credit_limit_set").count() == 4


def test_what_was_spent_stays_within_the_limit(acme, used):
    credits.set_limit(acme, SYSTEM, COST, reason="Test")
    record(used())
    with pytest.raises(NotCovered):
        credits.set_limit(acme, SYSTEM, COST - 1, reason="Test")
    with pytest.raises(InvalidTransfer):
        credits.set_limit(acme, SYSTEM, -1, reason="Test")
