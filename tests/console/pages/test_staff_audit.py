"""The operator's trail: each thing that staff and commands change stands in it, and a break in it shows."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.audit import Actor, Breach
from accounts.models import OperatorEvent
from billing.earnings import causes
from console.words import ACTIONS, OBJECT_TYPES
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.invariants import reconcile
from ledger.models import Proof
from ledger.proofs import prove
from ledger.transfers import post
from providers.services import create_connection

pytestmark = pytest.mark.django_db
DOLLAR = 10**9
SYSTEM = Actor.system("tests")


@pytest.fixture
def staff(client_of, make_user):
    return client_of(make_user("sam@operator.test", is_staff=True))


def done() -> list[tuple[str, str, str]]:
    """By whom, what, to what."""
    events = OperatorEvent.objects.order_by("sequence")
    assert {event.action for event in events} <= ACTIONS.keys()
    assert {event.object_type for event in events} <= OBJECT_TYPES.keys()
    assert audit.verify(None).ok
    return list(events.values_list("actor_label", "action", "object_label"))


def test_causes(staff):
    said = {"name": "Trees for All", "summary": "Plants trees.", "about": "", "website": ""}
    staff.post(reverse("causes-new"), said)
    [cause] = causes.open_causes()
    for summary in ("Plants many.", "Plants many."):
        staff.post(reverse("causes-edit", args=[cause.slug]), said | {"summary": summary})
    payable, revenue = ensure_account(kinds.NGO_PAYABLE, reference=str(cause.pk)), ensure_account(kinds.REVENUE)
    post(Draft("gift:1", "gift", {revenue.pk: -DOLLAR, payable.pk: DOLLAR}))
    for _again in range(2):
        staff.post(reverse("causes-pay", args=[cause.slug]), {"amount_usd": "1", "reference": "B-1"})
    for wish in ("close", "close", "reopen", "reopen"):
        staff.post(reverse("causes-close", args=[cause.slug]), {"wish": wish})
    acts = ("created", "updated", "paid", "closed", "reopened")
    assert done() == [("sam@operator.test", f"cause.{act}", "Trees for All") for act in acts]
    edited = OperatorEvent.objects.get(action="cause.updated")
    assert (edited.before, edited.after) == ({"summary": "Plants trees."}, {"summary": "Plants many."})


def test_prices_of_the_platform(staff):
    price = {"input_price": "3", "output_price": "15"}
    sold = create_connection(
        None, SYSTEM, preset="custom", name="Vendor", base_url="https://llm.example/v1",
        api_keys=["sk-upstream-0123456789abcdef"], models=[{"id": "large", **price}],
    ).served_models.get()  # fmt: skip
    answer = staff.post(reverse("price-book-model", args=[sold.public_id]), price | {"input_price": "4"})
    assert answer.status_code == 302
    assert done()[-1] == ("sam@operator.test", "model.updated", "Vendor")
    event = OperatorEvent.objects.latest("sequence")
    assert event.after["input_price"].startswith("4")
    assert "sk-upstream" not in str(list(OperatorEvent.objects.values()))


def test_an_event_is_neither_changed_nor_taken_away(staff):
    causes.add({"name": "Trees for All", "summary": "Plants trees."})
    for change in ("UPDATE accounts_operatorevent SET action = ''", "DELETE FROM accounts_operatorevent"):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change)


@pytest.mark.breaks_invariants
def test_what_somebody_changes_behind_its_back_shows(staff, capsys):
    for name in ("One", "Two", "Three"):
        causes.add({"name": name, "summary": "Plants trees."})
    call_command("verify_audit")
    assert "(operator): verified, 3 events" in capsys.readouterr().out
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_operatorevent DISABLE TRIGGER audit_append_only")
    assert any("accounts_operatorevent" in finding.subject for finding in reconcile())
    OperatorEvent.objects.filter(sequence=2).update(at=timezone.now() + timedelta(days=1))
    assert audit.verify(None).breach == Breach(2, "edited")
    assert "The chain is broken" in staff.get(reverse("staff-audit-verify")).content.decode()
    with pytest.raises(CommandError):
        call_command("verify_audit")


@pytest.mark.breaks_invariants
def test_staff_see_how_the_ledger_was_proven(staff, acme):
    def page() -> str:
        return staff.get(reverse("staff-audit")).content.decode()

    assert "has not been proven yet" in page()
    proof = prove()
    assert "The ledger holds" in page()
    assert "10 invariants proven" in page()
    Proof.objects.filter(pk=proof.pk).update(ended_at=timezone.now() - timedelta(hours=5))
    assert "overdue" in page()
    assert "beat are running" in page()
    Proof.objects.create()
    assert "or was stopped by RECONCILE_LIMIT_S" in page()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; DROP TRIGGER billing_charge_no_truncate ON billing_charge")
    prove()
    assert "The ledger does not hold" in page()
    assert "billing_charge: its trigger is missing or off" in page()
    assert "overdue" not in page()
