"""Every write of staff's addresses is in a trail under who did it, acts once when repeated, and needs its token.

A new address needs a case here: the test of completeness says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from django.test import Client
from django.utils import timezone

from accounts import audit
from accounts.models import AuditEvent, OperatorEvent
from billing import bank_payouts, concerns, freezing, payees, vouchers
from billing.earnings import causes
from billing.models import Concern, Unsettled
from console import words
from console.api.staff import urls
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.transfers import post
from tests.billing.conftest import sold as sold
from tests.billing.payees import DOLLAR, earn
from tests.console.api.conftest import Api, refused
from tests.console.earning_rows import doubted_lot
from tests.console.pages import machines

pytestmark = pytest.mark.django_db

BANK = payees.Bank("Acme Ltd", "TH00 1234 5678 9012", "Bangkok Bank BKKBTHBK")


@dataclass(frozen=True, slots=True)
class Case:
    """`needs` names what the address is of; see `_make`."""

    action: str
    needs: str
    body: dict[str, Any]


def of(action: str, needs: str = "", **body: Any) -> Case:
    return Case(action, needs, body)


WATER = {"name": "Clean Water", "summary": "Digs wells."}
CASES: dict[str, Case] = {
    "PATCH prices/<slug:model_id>": of("model.updated", "price", input_price="7", output_price="9"),
    "POST cases/<slug:case_id>/verdict": of("earnings.case_dismissed", "case", verdict="dismiss"),
    "POST payouts/file": of("payout.exported", "due"),
    "POST payouts/<slug:payout_id>/paid": of("payout.confirmed", "sent", reference="TX-1"),
    "POST payouts/<slug:payout_id>/failed": of("payout.returned", "sent", reason="Account closed"),
    "POST payouts/<slug:payout_id>/put-back": of("payout.put_back", "sent"),
    "POST banks/<slug:organization_id>/judgement": of("payout_destination.changed", "bank", is_right=True),
    "POST concerns/<int:concern_id>/done": of("concern.closed", "concern"),
    "POST vouchers": of("voucher.made", amount_usd="5", reason="Launch"),
    "POST vouchers/<slug:voucher_id>/withdraw": of("voucher.withdrawn", "voucher"),
    "POST vouchers/<slug:voucher_id>/offer": of("voucher.offered_again", "withdrawn"),
    "POST voucher-batches/<slug:batch>/withdraw": of("voucher.withdrawn", "batch"),
    "POST causes": of("cause.created", **WATER),
    "PATCH causes/<slug:cause_id>": of("cause.updated", "cause", summary="Mends pumps."),
    "POST causes/<slug:cause_id>/close": of("cause.closed", "cause"),
    "POST causes/<slug:cause_id>/reopen": of("cause.reopened", "closed"),
    "POST causes/<slug:cause_id>/payments": of("cause.paid", "owed", amount_usd="1", reference="B-1"),
}
OPERATOR = audit.Actor.system("tests")


def writes() -> set[str]:
    return {
        f"{method} {entry.pattern}" for entry in urls.urlpatterns for method in entry.callback.cls.methods - {"GET"}
    }


def test_every_write_has_a_case():
    assert writes() == CASES.keys()


@pytest.fixture
def make(acme, as_alice, sold):
    def make(needs: str) -> tuple[str, dict[str, Any]]:
        """What stands in the address, and what its body says besides."""
        if needs in ("due", "sent", "bank"):
            earn(acme, 40 * DOLLAR)
            payee = payees.set_bank(acme, as_alice, BANK)
        if needs == "bank":
            return acme.public_id, {"seen": payees.seen_of(payee)}
        if needs in ("due", "sent"):
            payees.verify(acme, as_alice, is_right=True)
            payout = freezing.request(acme, as_alice)
            if needs == "sent":
                list(bank_payouts.rows())
            return payout.public_id, {}
        return _made(needs, acme, as_alice, sold)

    return make


def _made(needs: str, acme, as_alice, sold) -> tuple[str, dict[str, Any]]:
    if needs == "price":
        return sold.public_id, {}
    if needs == "case":
        node = machines.new_node(acme, as_alice)
        machines.list_models(node)
        return doubted_lot(node.served_models.first()).public_id, {}
    if needs == "concern":
        about = {"started_at": timezone.now(), "target_id": sold.pk, "reason": "price_unknown"}
        Unsettled.objects.create(request_id="req_1", org_id=1, **about)
        concerns.look()
        return str(Concern.objects.get().pk), {}
    if needs in ("voucher", "withdrawn", "batch"):
        voucher = vouchers.make_batch(2, DOLLAR, OPERATOR, uses=1, reason="Launch")[0].voucher
        if needs == "withdrawn":
            vouchers.withdraw(voucher.public_id, OPERATOR)
        return voucher.batch if needs == "batch" else voucher.public_id, {}
    if needs in ("cause", "closed", "owed"):
        cause = causes.add(WATER)
        if needs == "closed":
            causes.close(cause)
        if needs == "owed":
            payable = ensure_account(kinds.NGO_PAYABLE, reference=str(cause.pk))
            post(Draft("gift:1", "gift", {ensure_account(kinds.REVENUE).pk: -DOLLAR, payable.pk: DOLLAR}))
        return cause.slug, {}
    return "", {}


def path_of(name: str, thing: str) -> tuple[str, str]:
    method, pattern = name.split(" ")
    head, _bracket, rest = pattern.partition("<")
    return method, "staff/" + (head + thing + rest.partition(">")[2] if rest else pattern)


def trail(sequences: tuple[int, int], acme) -> list[Any]:
    of_operator = OperatorEvent.objects.filter(sequence__gt=sequences[0])
    return [*of_operator, *AuditEvent.objects.of(acme).filter(sequence__gt=sequences[1])]


@pytest.mark.parametrize("name", CASES)
def test_every_write_is_in_a_trail_once_however_often_it_is_sent(name, staff, make, acme):
    case = CASES[name]
    thing, more = make(case.needs)
    method, path = path_of(name, thing)
    seen = OperatorEvent.objects.count(), AuditEvent.objects.of(acme).count()
    body = case.body | more
    first = staff.send(method, path, body, Idempotency_Key="once")
    assert first.status_code in (200, 201), first.content
    again = staff.send(method, path, body, Idempotency_Key="once")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert method != "POST" or again["Idempotent-Replayed"] == "true"
    [event] = [one for one in trail(seen, acme) if one.action == case.action]
    assert (event.actor_type, event.actor_label, event.ip) == ("user", "sam@operator.test", "127.0.0.1")
    assert words.action(event.action) != event.action, "no words for it"
    assert words.object_type(event.object_type) != event.object_type, "no words for it"
    assert BANK.account not in orjson.dumps([event.before, event.after]).decode()
    assert audit.verify(None).ok
    assert audit.verify(acme).ok


@pytest.mark.parametrize("name", CASES)
def test_no_write_is_done_without_its_token_nor_by_others(name, sam, make, acme, alice, api, api_of):
    """Owners and managing keys as well, of the very organisation that it is about."""
    case = CASES[name]
    thing, more = make(case.needs)
    method, path = path_of(name, thing)
    seen = OperatorEvent.objects.count(), AuditEvent.objects.of(acme).count()
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(sam)
    assert refused(Api(careful).send(method, path, case.body | more), 403, "csrf_failed")
    for caller in (api, api_of(alice)):
        assert refused(caller.send(method, path, case.body | more), 403, "permission_refused")
    assert not [one for one in trail(seen, acme) if one.action == case.action]


def test_who_is_staff_no_more_is_refused_at_once(sam, staff):
    assert staff.get("staff/vouchers").status_code == 200
    type(sam).objects.filter(pk=sam.pk).update(is_staff=False)
    assert refused(staff.get("staff/vouchers"), 403, "permission_refused")
