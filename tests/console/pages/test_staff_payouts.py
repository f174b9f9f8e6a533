"""Payouts by bank for staff: banks checked, a file, what became of each, and what is taken back."""

import csv
import io
import re

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from billing import freezing, payees
from billing.models import Payee, Payout
from console import words
from ledger.invariants import reconcile
from tests.billing.conftest import balances as balances
from tests.billing.payees import DOLLAR, earn

pytestmark = pytest.mark.django_db
BANK = payees.Bank("Acme Ltd", "TH00 1234 5678 9012", "Bangkok Bank BKKBTHBK")


@pytest.fixture
def staff(client_of, make_user):
    return client_of(make_user("sam@operator.test", is_staff=True))


@pytest.fixture
def unchecked(acme, as_alice) -> Payee:
    earn(acme, 40 * DOLLAR)
    return payees.set_bank(acme, as_alice, BANK)


@pytest.fixture
def due(unchecked, acme, as_alice) -> Payout:
    """$40."""
    payees.verify(acme, as_alice, is_right=True)
    return freezing.request(acme, as_alice)


def shown(client, name: str = "staff-payouts", *args: str) -> str:
    response = client.get(reverse(name, args=args))
    assert response.status_code == 200
    return response.content.decode()


def judge(client, organization, **sent: str):
    """As the form that is shown now sends it."""
    page = shown(client, "staff-bank", organization.public_id)
    seen = re.search(r'name="seen" value="(\w+)"', page).group(1)
    return client.post(reverse("staff-bank", args=[organization.public_id]), {"seen": seen} | sent)


def act(client, name: str, payout: Payout, **sent: str):
    return client.post(reverse(f"staff-payout-{name}", args=[payout.public_id]), sent)


def exported(client) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.post(reverse("staff-payouts-export")).content.decode())))


def events_of(organization, action: str) -> list[tuple[str, str]]:
    found = AuditEvent.objects.of(organization).filter(action=action)
    assert words.action(action) != action, "no words for it"
    return [(event.actor_label, event.object_id) for event in found]


def test_nothing_yet(staff):
    page = shown(staff)
    assert "Nothing is due" in page
    assert "File for the bank" not in page


def test_a_bank_is_looked_at_and_found_right(staff, unchecked, acme):
    page = shown(staff)
    assert "Banks to check" in page
    assert BANK.account not in page
    assert BANK.account in shown(staff, "staff-bank", acme.public_id)
    assert events_of(acme, "payout_destination.read") == [("sam@operator.test", acme.public_id)]
    assert judge(staff, acme, wish="wrong", problem=" ").status_code == 422
    judge(staff, acme, wish="wrong", problem="Another name holds it")
    unchecked.refresh_from_db()
    assert (unchecked.state, unchecked.problem) == (Payee.INCOMPLETE, "Another name holds it")
    judge(staff, acme, wish="right")
    unchecked.refresh_from_db()
    assert (unchecked.state, unchecked.problem) == (Payee.READY, "")
    assert ("sam@operator.test", acme.public_id) in events_of(acme, "payout_destination.changed")


def test_a_bank_that_was_changed_after_it_was_read_is_read_again(staff, unchecked, acme, as_alice):
    seen = payees.seen_of(unchecked)
    payees.set_bank(acme, as_alice, payees.Bank(BANK.holder, "TH00 6666 6666 6666", BANK.bank))
    for sent in ({"seen": seen}, {"seen": ""}, {}):
        late = staff.post(reverse("staff-bank", args=[acme.public_id]), sent | {"wish": "right"})
        assert late.status_code == 422
        assert all(words in late.content.decode() for words in ("not the bank that you have read", "6666 6666 6666"))
        assert Payee.objects.get().state == Payee.INCOMPLETE
    assert len(events_of(acme, "payout_destination.read")) == 3
    assert judge(staff, acme, wish="right").status_code == 302
    assert Payee.objects.get().state == Payee.READY


def test_bank_details_ask_who_signed_in_long_ago_once_more(client_of, make_user, unchecked, acme):
    sam = make_user("sam@operator.test", is_staff=True)
    sam.set_password("correct horse battery staple")
    sam.save()
    sams = client_of(sam)
    for answer in (
        sams.get(reverse("staff-bank", args=[acme.public_id])),
        sams.post(reverse("staff-payouts-export")),
    ):
        assert answer.url.startswith(reverse("account_reauthenticate"))
    assert events_of(acme, "payout_destination.read") == []


def test_the_file_is_the_same_again_and_names_everything(staff, due, acme):
    expected = {
        "payout": due.public_id, "organization": acme.name, "amount_usd": "40.00", "holder": BANK.holder,
        "account": BANK.account, "bank": BANK.bank,
    }  # fmt: skip
    assert "Waiting" in shown(staff)
    assert exported(staff) == exported(staff) == [expected]
    assert "On its way" in shown(staff)
    assert events_of(acme, "payout.exported") == [("sam@operator.test", due.public_id)]


def test_a_bank_that_is_found_wrong_after_all_is_in_no_file(staff, due, acme):
    judge(staff, acme, wish="wrong", problem="Another name holds it")
    assert exported(staff) == []
    due.refresh_from_db()
    assert due.state == Payout.WAITING
    judge(staff, acme, wish="right")
    assert [row["account"] for row in exported(staff)] == [BANK.account]


def test_paid_is_booked_once_by_its_reference(staff, due, acme, balances):
    assert act(staff, "paid", due, reference="TX-1").status_code == 422  # it was in no file
    exported(staff)
    assert act(staff, "paid", due, reference=" ").status_code == 422
    assert act(staff, "paid", due, reference="TX-1").status_code == 302
    assert balances() == {"promo": -40 * DOLLAR, "bank_clearing": 40 * DOLLAR}
    page = shown(staff)
    assert "TX-1" in page
    assert "bank:" not in page
    assert act(staff, "paid", due, reference="TX-2").status_code == 422
    assert events_of(acme, "payout.confirmed") == [("sam@operator.test", due.public_id)]


def test_an_export_is_taken_back_when_the_bank_never_got_it(staff, due, acme):
    exported(staff)
    act(staff, "put-back", due)
    due.refresh_from_db()
    assert due.state == Payout.WAITING
    assert events_of(acme, "payout.put_back") == [("sam@operator.test", due.public_id)]
    act(staff, "put-back", due)
    assert "not one that was exported" in shown(staff)
    assert [row["payout"] for row in exported(staff)] == [due.public_id]


def test_what_failed_is_payable_again_and_its_bank_is_doubted(staff, due, acme, balances, as_alice):
    exported(staff)
    assert act(staff, "failed", due, reason="").status_code == 422
    assert act(staff, "failed", due, reason="Account closed").status_code == 302
    assert balances()["acme rewards_available"] == 40 * DOLLAR
    assert "Account closed" in shown(staff)
    assert Payee.objects.get().state == Payee.INCOMPLETE
    assert act(staff, "failed", due, reason="again").status_code == 422


def test_a_form_of_before_it_was_paid_takes_nothing_back(staff, due, balances):
    exported(staff)
    page = shown(staff, "staff-payout-failed", due.public_id)
    assert 'name="state" value="sending"' in page
    act(staff, "paid", due, reference="TX-1")  # by a colleague
    late = act(staff, "failed", due, state="sending", reason="Not seen yet")
    assert late.status_code == 422
    assert all(words in late.content.decode() for words in ("not open", "It was booked as paid", 'value="paid"'))
    assert balances()["bank_clearing"] == 40 * DOLLAR
    assert act(staff, "failed", due, state="paid", reason="It came back").status_code == 302
    assert "bank_clearing" not in balances()


def test_more_payouts_than_are_shown_are_counted(staff, due, monkeypatch):
    monkeypatch.setattr("console.pages.staff_payouts._SHOWN", 0)
    context = staff.get(reverse("staff-payouts")).context
    assert (context["due"], context["waiting"], context["waiting_nanos"]) == ([], 1, 40 * DOLLAR)


def test_what_was_booked_as_paid_comes_back_by_a_compensating_transfer(staff, due, acme, balances, as_alice):
    exported(staff)
    act(staff, "paid", due, reference="TX-1")
    assert act(staff, "failed", due, reason="Wrong account").status_code == 302
    assert balances() == {"promo": -40 * DOLLAR, "acme rewards_available": 40 * DOLLAR}
    assert events_of(acme, "payout.came_back") == [("sam@operator.test", due.public_id)]
    assert act(staff, "failed", due, reason="once more").status_code == 422
    payees.verify(acme, as_alice, is_right=True)
    again = freezing.request(acme, as_alice)
    exported(staff)
    assert act(staff, "paid", again, reference="TX-1").status_code == 422  # it stands for the first one
    act(staff, "paid", again, reference="TX-2")
    assert balances() == {"promo": -40 * DOLLAR, "bank_clearing": 40 * DOLLAR}
    assert reconcile() == []


def test_only_staff_see_and_do_it(client, client_of, alice, acme, due):
    browser = client_of(alice)
    for name, args in (
        ("staff-payouts", []), ("staff-payout-paid", [due.public_id]), ("staff-payout-failed", [due.public_id]),
        ("staff-bank", [acme.public_id]),
    ):  # fmt: skip
        assert browser.get(reverse(name, args=args)).status_code == 403
        assert client.get(reverse(name, args=args)).status_code == 302
    for name, args in (("staff-payouts-export", []), ("staff-payout-put-back", [due.public_id])):
        assert browser.post(reverse(name, args=args)).status_code == 403
    due.refresh_from_db()
    assert due.state == Payout.WAITING
