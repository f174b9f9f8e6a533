"""Vouchers for staff: made, shown once, found again, withdrawn and offered again, and who redeemed them."""

import csv
import io
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import unquote

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.audit import Actor
from accounts.models import OperatorEvent, Organization
from billing import vouchers
from billing.models import Voucher
from console import shown_once

pytestmark = pytest.mark.django_db
DOLLAR = 10**9
WISHES = {"amount_usd": "5", "count": "3", "uses": "1", "reason": "Launch", "until": "", "code": ""}


@pytest.fixture
def staff(client_of, make_user):
    return client_of(make_user("sam@operator.test", is_staff=True))


@pytest.fixture
def made() -> vouchers.Made:
    return vouchers.make(5 * DOLLAR, Actor.system("sam@operator.test"), uses=2, reason="Launch")


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


CODE = re.compile(r"\b(?:[A-Z0-9]{5}-){2}[A-Z0-9]{5}\b")


def test_a_batch_is_made_and_its_codes_are_shown_once(staff, acme, as_alice):
    page = staff.post(reverse("staff-vouchers-new"), WISHES, follow=True).content.decode()
    assert "3 vouchers were made" in page
    codes = list(dict.fromkeys(CODE.findall(page)))
    assert len(codes) == 3
    assert vouchers.redeem(acme, as_alice, codes[1]).nanos == 5 * DOLLAR
    [batch] = set(Voucher.objects.values_list("batch", flat=True))
    assert set(Voucher.objects.values_list("made_by", "nanos", "uses")) == {("sam@operator.test", 5 * DOLLAR, 1)}
    listed = shown(staff, "staff-vouchers", q=batch)
    assert not any(code in listed for code in codes)
    assert listed.count("of a batch") == 3
    assert "$5.00" in listed


def test_reloading_the_codes_makes_no_others_and_storing_them_ends_it(staff, client_of, make_user, monkeypatch):
    answer = staff.post(reverse("staff-vouchers-new"), WISHES)
    assert answer.status_code == 302
    codes = CODE.findall(staff.get(answer.url).content.decode())
    assert CODE.findall(staff.get(answer.url).content.decode()) == codes
    assert not any(code in str(row) for code in codes for row in Session.objects.values())
    assert Voucher.objects.count() == 3
    colleague = client_of(make_user("kim@operator.test", is_staff=True))
    assert "no longer shown" in colleague.get(answer.url).content.decode()
    later = time.time() + shown_once.KEPT_S
    with monkeypatch.context() as patch:
        patch.setattr(shown_once.time, "time", lambda: later)
        assert "no longer shown" in staff.get(answer.url).content.decode()
    assert staff.post(answer.url).url == reverse("staff-vouchers")
    assert not CODE.findall(staff.get(answer.url).content.decode())


def test_a_form_that_arrives_twice_makes_one_batch(staff):
    form = shown(staff, "staff-vouchers-new")
    wish = WISHES | {"batch": re.search(r'name="batch" value="(vob_[0-9a-f]{32})"', form).group(1)}
    first, second = (staff.post(reverse("staff-vouchers-new"), wish) for _ in range(2))
    assert first.url == second.url
    assert Voucher.objects.count() == 3
    assert len(set(CODE.findall(staff.get(second.url).content.decode()))) == 3
    assert staff.post(reverse("staff-vouchers-new"), wish | {"batch": "vob_mine"}).status_code == 422
    assert shown(staff, "staff-vouchers-new") != form


@pytest.mark.django_db(transaction=True)
def test_two_at_the_very_same_moment_make_one_batch():
    begin, batch = threading.Barrier(2), vouchers.new_batch()

    def make() -> str:
        begin.wait(10)
        try:
            return vouchers.make_batch(20, DOLLAR, Actor.system("staff"), uses=1, reason="Launch", batch=batch)[
                0
            ].voucher.public_id
        except vouchers.MadeAlready as already:
            return already.first.public_id
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        told = [job.result(30) for job in [pool.submit(make) for _ in range(2)]]
    assert told[0] == told[1]
    assert Voucher.objects.count() == 20


def test_codes_come_as_a_file(staff):
    page = staff.post(reverse("staff-vouchers-new"), WISHES | {"count": "40"}, follow=True).content.decode()
    rows = rows_of(unquote(re.search(r'href="data:text/csv;charset=utf-8,([^"]*)"', page).group(1)))
    assert {row["voucher"] for row in rows} == set(Voucher.objects.values_list("public_id", flat=True))
    assert len({row["code"] for row in rows}) == 40
    assert {row["amount_usd"] for row in rows} == {"5.000000000"}


def test_what_staff_did_is_kept_in_a_chain_of_its_own(staff, made):
    staff.post(reverse("staff-vouchers-new"), WISHES)
    one = Voucher.objects.exclude(batch="").first()
    address = reverse("staff-voucher-withdraw", args=[made.voucher.public_id])
    staff.post(reverse("staff-voucher-withdraw", args=[one.public_id]), {"wish": "batch"})
    for wish in ("one", "one", "again", "again"):
        staff.post(address, {"wish": wish})
    told = list(OperatorEvent.objects.order_by("sequence").values_list("actor_label", "action", "object_id"))
    sam, voucher = "sam@operator.test", made.voucher.public_id
    assert told == [
        (sam, "voucher.made", voucher), (sam, "voucher.made", one.batch), (sam, "voucher.withdrawn", one.batch),
        (sam, "voucher.withdrawn", voucher), (sam, "voucher.offered_again", voucher),
    ]  # fmt: skip
    assert audit.verify(None).events == 5
    assert audit.verify(None).ok
    page = shown(staff, "staff-audit", kind="voucher_batch")
    assert "made vouchers:" in page
    assert "Chain verified" in shown(staff, "staff-audit-verify")
    rows = rows_of(b"".join(staff.get(reverse("staff-audit-export"))).decode())
    assert [row["action"] for row in rows] == [action for _, action, _ in reversed(told)]
    assert made.code not in str(rows)


def test_nothing_was_done_yet(staff):
    assert "Nothing was done yet" in shown(staff, "staff-audit")


def test_one_code_that_many_know(staff, acme, as_alice):
    until = (timezone.now() + timedelta(days=3)).date()
    sent = WISHES | {"count": "1", "uses": "100", "code": "launch-2027", "until": until.isoformat()}
    assert "LAUNCH-2027" in staff.post(reverse("staff-vouchers-new"), sent, follow=True).content.decode()
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
        other = vouchers.make(DOLLAR, uses=2, reason=reason, actor=Actor.system("kim")).voucher
        Voucher.objects.filter(pk=other.pk).update(**fields)
    for state, reason in (("open", "Launch"), *((name.replace(" ", "_"), name) for name in kinds)):
        rows = rows_of(shown(staff, "staff-vouchers-export", state=state))
        assert [(row["reason"], row["state"]) for row in rows] == [(reason, state)]
    assert "No voucher matches" in shown(staff, "staff-vouchers", q="zzz")
    assert len(rows_of(shown(staff, "staff-vouchers-export", q="kim"))) == 3
    assert len(rows_of(shown(staff, "staff-vouchers-export", q=made.code))) == 1


def test_only_staff_see_and_do_it(client, client_of, alice, acme, made):
    browser, before = client_of(alice), list(Voucher.objects.values())
    for name in (
        "staff-vouchers", "staff-vouchers-export", "staff-vouchers-new", "staff-audit", "staff-audit-verify",
        "staff-audit-export",
    ):  # fmt: skip
        assert browser.get(reverse(name)).status_code == 403
        assert client.get(reverse(name)).status_code == 302
    for name, args in (
        ("staff-vouchers-new", []), ("staff-voucher", [made.voucher.public_id]),
        ("staff-vouchers-made", [made.voucher.public_id]),
        ("staff-voucher-withdraw", [made.voucher.public_id]),
    ):  # fmt: skip
        assert browser.post(reverse(name, args=args), WISHES).status_code in (403, 405)
    assert list(Voucher.objects.values()) == before
