"""Vouchers for staff: made, shown once, found again, withdrawn and offered again, and who redeemed them."""

import csv
import io
import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organization
from billing import vouchers
from billing.models import Voucher

pytestmark = pytest.mark.django_db
DOLLAR = 10**9
WISHES = {"amount_usd": "5", "count": "3", "uses": "1", "reason": "Launch", "until": "", "code": ""}


@pytest.fixture
def staff(client_of, make_user):
    return client_of(make_user("sam@operator.test", is_staff=True))


@pytest.fixture
def made() -> vouchers.Made:
    return vouchers.make(5 * DOLLAR, uses=2, reason="Launch", made_by="sam@operator.test")


def shown(client, name: str, *args: str, **query: str) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_nothing_yet(staff):
    page = shown(staff, "staff-vouchers")
    assert "No vouchers yet" in page
    assert reverse("staff-payouts") in page


def test_a_batch_is_made_and_its_codes_are_shown_once(staff, acme, as_alice):
    page = staff.post(reverse("staff-vouchers-new"), WISHES).content.decode()
    assert "3 vouchers were made" in page
    codes = re.findall(r"\b(?:[A-Z0-9]{5}-){2}[A-Z0-9]{5}\b", page)
    assert len(set(codes)) == 3
    assert vouchers.redeem(acme, as_alice, codes[1]).nanos == 5 * DOLLAR
    [batch] = set(Voucher.objects.values_list("batch", flat=True))
    assert set(Voucher.objects.values_list("made_by", "nanos", "uses")) == {("sam@operator.test", 5 * DOLLAR, 1)}
    listed = shown(staff, "staff-vouchers", q=batch)
    assert not any(code in listed for code in codes)
    assert listed.count("of a batch") == 3
    assert "$5.00" in listed


def test_codes_come_as_a_file(staff):
    answer = staff.post(reverse("staff-vouchers-new"), WISHES | {"wish": "csv", "count": "40"})
    rows = rows_of(answer.content.decode())
    assert {row["voucher"] for row in rows} == set(Voucher.objects.values_list("public_id", flat=True))
    assert len({row["code"] for row in rows}) == 40
    assert {row["amount_usd"] for row in rows} == {"5.000000000"}


def test_one_code_that_many_know(staff, acme, as_alice):
    until = (timezone.now() + timedelta(days=3)).date()
    sent = WISHES | {"count": "1", "uses": "100", "code": "launch-2027", "until": until.isoformat()}
    assert "LAUNCH-2027" in staff.post(reverse("staff-vouchers-new"), sent).content.decode()
    voucher = vouchers.redeem(acme, as_alice, "Launch 2027")
    assert (voucher.uses, voucher.batch) == (100, "")
    assert voucher.expires_at.isoformat() == f"{until}T23:59:59+00:00"
    again = staff.post(reverse("staff-vouchers-new"), sent)
    assert again.status_code == 422
    assert "There is a voucher with this code already." in again.content.decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount_usd", "0"), ("amount_usd", "-1"), ("amount_usd", "NaN"), ("amount_usd", "1.001"), ("count", "0"),
        ("count", "1001"), ("uses", "0"), ("reason", ""), ("until", "2020-01-01"), ("code", "short"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(staff, name, value):
    answer = staff.post(reverse("staff-vouchers-new"), WISHES | {"count": "1"} | {name: value})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.content.decode()
    assert not Voucher.objects.exists()


def test_several_cannot_have_one_code(staff):
    assert staff.post(reverse("staff-vouchers-new"), WISHES | {"code": "LAUNCH"}).status_code == 422
    assert not Voucher.objects.exists()


def test_who_redeemed_it_is_shown_and_exported(staff, made, acme, as_alice):
    page = shown(staff, "staff-voucher", made.voucher.public_id)
    assert "Nobody yet" in page
    Organization.objects.filter(pk=acme.pk).update(name="=Acme")
    vouchers.redeem(acme, as_alice, made.code)
    page = shown(staff, "staff-voucher", made.voucher.public_id)
    assert "=Acme" in page
    assert "1 of 2" in page
    [row] = rows_of(shown(staff, "staff-vouchers-export"))
    assert (row["organization"], row["used"], row["uses"], row["state"]) == ("'=Acme", "1", "2", "open")
    assert made.code not in str(row)


def test_one_is_withdrawn_and_offered_again(staff, made):
    address = reverse("staff-voucher-withdraw", args=[made.voucher.public_id])
    staff.post(address, {"wish": "one"})
    made.voucher.refresh_from_db()
    assert (made.voucher.withdrawn_by, made.voucher.withdrawn_at is None) == ("sam@operator.test", False)
    page = shown(staff, "staff-voucher", made.voucher.public_id)
    assert "Offer it again" in page
    assert "sam@operator.test" in page
    staff.post(address, {"wish": "again"})
    made.voucher.refresh_from_db()
    assert (made.voucher.withdrawn_by, made.voucher.withdrawn_at) == ("", None)


def test_a_batch_is_withdrawn_as_a_whole(staff, made):
    staff.post(reverse("staff-vouchers-new"), WISHES)
    one = Voucher.objects.exclude(batch="").first()
    assert "with 2 others" in shown(staff, "staff-voucher", one.public_id)
    staff.post(reverse("staff-voucher-withdraw", args=[one.public_id]), {"wish": "batch"})
    assert Voucher.objects.exclude(withdrawn_at=None).count() == 3
    assert Voucher.objects.get(withdrawn_at=None) == made.voucher


def test_they_are_found_by_state_and_words(staff, made):
    past = timezone.now() - timedelta(days=1)
    kinds = {"used up": {"used": 2}, "expired": {"expires_at": past}, "withdrawn": {"withdrawn_at": past}}
    for reason, fields in kinds.items():
        other = vouchers.make(DOLLAR, uses=2, reason=reason, made_by="kim").voucher
        Voucher.objects.filter(pk=other.pk).update(**fields)
    for state, reason in (("open", "Launch"), *((name.replace(" ", "_"), name) for name in kinds)):
        rows = rows_of(shown(staff, "staff-vouchers-export", state=state))
        assert [(row["reason"], row["state"]) for row in rows] == [(reason, state)]
    assert "No voucher matches" in shown(staff, "staff-vouchers", q="zzz")
    assert len(rows_of(shown(staff, "staff-vouchers-export", q="kim"))) == 3
    assert len(rows_of(shown(staff, "staff-vouchers-export", q=made.code))) == 1


def test_only_staff_see_and_do_it(client, client_of, alice, acme, made):
    browser, before = client_of(alice), list(Voucher.objects.values())
    for name in ("staff-vouchers", "staff-vouchers-export", "staff-vouchers-new"):
        assert browser.get(reverse(name)).status_code == 403
        assert client.get(reverse(name)).status_code == 302
    for name, args in (
        ("staff-vouchers-new", []), ("staff-voucher", [made.voucher.public_id]),
        ("staff-voucher-withdraw", [made.voucher.public_id]),
    ):  # fmt: skip
        assert browser.post(reverse(name, args=args), WISHES).status_code in (403, 405)
    assert list(Voucher.objects.values()) == before
