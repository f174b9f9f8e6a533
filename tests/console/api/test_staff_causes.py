"""`/staff/causes`: added, changed, closed and opened again, and what was paid to them, once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from accounts.errors import InvalidField
from accounts.models import OperatorEvent
from billing.earnings import causes
from billing.earnings.models import Cause
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.invariants import reconcile
from ledger.transfers import post
from tests.conftest import PASSWORD
from tests.console.api.conftest import Api, refused

pytestmark = pytest.mark.django_db
DOLLAR = 10**9
WISHES = {"name": "Clean Water", "summary": "Digs wells.", "website": "https://water.example"}


@pytest.fixture
def cause(db) -> Cause:
    return causes.add({"name": "Trees for All", "summary": "Plants trees."})


@pytest.fixture
def owed(cause) -> Cause:
    """$3."""
    payable, revenue = ensure_account(kinds.NGO_PAYABLE, reference=str(cause.pk)), ensure_account(kinds.REVENUE)
    post(Draft("gift:1", "gift", {revenue.pk: -3 * DOLLAR, payable.pk: 3 * DOLLAR}))
    return cause


def events() -> list[tuple[str, str, str]]:
    found = OperatorEvent.objects.exclude(actor_label="operator").order_by("sequence")
    return [*found.values_list("actor_label", "action", "object_id")]


def test_one_is_added_changed_closed_and_opened_again(staff):
    made = staff.post("staff/causes", WISHES)
    assert made.status_code == 201, made.content
    assert (made.json()["id"], made.json()["is_open"], made.json()["about"]) == ("clean-water", True, "")
    changed = staff.patch("staff/causes/clean-water", {"summary": "Mends pumps.", "name": "Water for All"}).json()
    assert (changed["id"], changed["name"], changed["website"]) == (
        "clean-water", "Water for All", "https://water.example",
    )  # fmt: skip
    assert staff.patch("staff/causes/clean-water", {"summary": "Mends pumps."}).json() == changed
    for act, is_open in (("close", False), ("close", False), ("reopen", True), ("reopen", True)):
        said = staff.post(f"staff/causes/clean-water/{act}", {}).json()
        assert (said["is_open"], said["closed_at"] is None) == (is_open, is_open)
    assert staff.get("staff/causes/clean-water").json() == {**said, "months": []}
    assert staff.get("staff/causes").json()["data"] == [said]
    assert events() == [
        ("sam@operator.test", f"cause.{act}", "clean-water") for act in ("created", "updated", "closed", "reopened")
    ]
    assert OperatorEvent.objects.get(action="cause.updated").before == {
        "name": "Clean Water", "summary": "Digs wells.",
    }  # fmt: skip


def test_a_payment_is_noted_once_by_its_reference(staff, owed):
    assert staff.get("staff/causes/trees-for-all").json()["months"][0]["given_usd"] == "3"
    address = "staff/causes/trees-for-all/payments"
    for status in (201, 200):
        answer = staff.post(address, {"amount_usd": "2", "reference": "B-1"})
        assert answer.status_code == status, answer.content
        assert (answer.json()["given_usd"], answer.json()["paid_usd"], answer.json()["owed_usd"]) == ("3", "2", "1")
    assert refused(staff.post(address, {"amount_usd": "1", "reference": "B-1"}), 409, "business_id_reused")
    assert refused(
        staff.post(address, {"amount_usd": "1.01", "reference": "B-2"}), 400, "invalid_request", "amount_usd"
    )
    assert events() == [("sam@operator.test", "cause.paid", "trees-for-all")]
    assert reconcile() == []


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "-Infinity", "1e30", "0.0000000001", True, None, [], ""])
def test_an_amount_that_is_none_is_refused(staff, owed, amount):
    said = staff.post("staff/causes/trees-for-all/payments", {"amount_usd": amount, "reference": "B-1"})
    assert refused(said, 400, "invalid_request", "amount_usd")
    assert causes.total_of(owed).paid_out == 0


@pytest.mark.parametrize("reference", ["", " ", "x" * 81, "a\u202eb", "a\0b", 7])
def test_a_reference_that_is_none_is_refused(staff, owed, reference):
    said = staff.post("staff/causes/trees-for-all/payments", {"amount_usd": "1", "reference": reference})
    assert refused(said, 400, "invalid_request", "reference")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "x" * 121), ("name", "a\nb\x07"), ("name", "TREES for all"), ("summary", " "),
        ("summary", "x" * 241), ("about", "x" * 4001), ("about", 7), ("website", "javascript:alert(1)"),
        ("website", "x"), ("slug", "mine"), ("closed_at", None),
    ],
)  # fmt: skip
def test_a_cause_that_makes_no_sense_is_refused(staff, cause, field, value):
    assert refused(staff.post("staff/causes", WISHES | {field: value}), 400, "invalid_request", field)
    assert Cause.objects.get() == cause
    if (field, value) != ("name", "TREES for all"):  # its own name in capitals is a change like any other
        assert refused(staff.patch("staff/causes/trees-for-all", {field: value}), 400, "invalid_request", field)
    assert events() == []


@pytest.mark.parametrize(("name", "slug"), [("New", "new-2"), ("Review!", "review-2"), ("น้ำ", "cause")])
def test_no_cause_takes_the_place_of_another_page(staff, client, name, slug):
    assert staff.post("staff/causes", WISHES | {"name": name}).json()["id"] == slug
    assert name in client.get(f"/causes/{slug}").content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_wish_that_arrives_twice_at_once_adds_one():
    def add(_number: int) -> str:
        try:
            return causes.add(WISHES).slug
        except InvalidField as refusal:
            return str(refusal.param)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(add, range(4))) == ["clean-water", "name", "name", "name"]
    assert Cause.objects.count() == OperatorEvent.objects.count() == 1


def test_a_form_of_before_it_was_closed_opens_it_not(staff, cause):
    seen = Cause.objects.get()
    causes.close(cause)
    causes.edit(seen, {"name": "Trees", "summary": "Plants trees."})
    assert Cause.objects.get().closed_at is not None
    causes.close(seen)  # of a colleague, who saw it open too
    assert OperatorEvent.objects.filter(action="cause.closed").count() == 1


def test_noting_a_payment_asks_for_a_recent_proof(sam, client_of, owed):
    sam.set_password(PASSWORD)
    sam.save()
    late = Api(client_of(sam))
    said = late.post("staff/causes/trees-for-all/payments", {"amount_usd": "1", "reference": "B-1"})
    assert refused(said, 403, "reauthentication_required")
    assert causes.total_of(owed).paid_out == 0
