"""Codes for credits: once for each organisation, never more often than they were made for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts import organizations, roles
from accounts.audit import Actor
from accounts.errors import InvalidField
from accounts.models import AuditEvent, Organization
from billing import vouchers
from billing.errors import VoucherRefused
from billing.models import Voucher, VoucherUse
from ledger.models import Transfer

DOLLAR = 10**9


@pytest.fixture
def made(db) -> vouchers.Made:
    """$5, twice."""
    return vouchers.make(5 * DOLLAR, uses=2, reason="Launch", actor=Actor.system("staff"))


def reason_of(organization, actor, code) -> str:
    with pytest.raises(VoucherRefused) as refusal:
        vouchers.redeem(organization, actor, code)
    assert refusal.value.param == "code"
    return refusal.value.reason


def test_a_code_gives_credits_from_promo_once(made, acme, as_alice, balances):
    vouchers.redeem(acme, as_alice, made.code.lower().replace("-", " "))
    assert balances() == {"acme wallet": 5 * DOLLAR, "promo": -5 * DOLLAR}
    assert reason_of(acme, as_alice, made.code) == vouchers.USED_HERE
    assert balances()["acme wallet"] == 5 * DOLLAR
    event = AuditEvent.objects.of(acme).get(action=vouchers.REDEEMED)
    assert event.after == {"amount_usd": "$5.00", "reason": "Launch", "code": f"…{made.voucher.hint}"}
    assert made.code not in str(event.after)
    assert bytes(Voucher.objects.get().digest) != made.code.encode()


def test_what_is_wrong_with_a_code_is_said(acme, rival, as_alice, made, db):
    assert reason_of(acme, as_alice, "NOSUCHCODE") == vouchers.UNKNOWN
    Voucher.objects.update(used=2)
    assert reason_of(acme, as_alice, made.code) == vouchers.USED_UP
    Voucher.objects.update(used=0, expires_at=timezone.now() - timedelta(seconds=1))
    assert reason_of(acme, as_alice, made.code) == vouchers.EXPIRED
    assert vouchers.withdraw(made.voucher.public_id, Actor.system("staff"))
    assert reason_of(acme, as_alice, made.code) == vouchers.WITHDRAWN
    assert not vouchers.withdraw(made.voucher.public_id, Actor.system("staff"))
    assert not Transfer.objects.exists()


def test_guessing_ends(acme, as_alice, made):
    for number in range(vouchers.MOST_TRIES):
        assert reason_of(acme, as_alice, f"GUESS{number}") == vouchers.UNKNOWN
    assert reason_of(acme, as_alice, made.code) == vouchers.TOO_OFTEN
    assert not VoucherUse.objects.exists()


def test_guessing_does_not_go_on_in_another_organisation(acme, alice, bob, join, as_alice, as_bob, made):
    for number in range(vouchers.MOST_TRIES):
        assert reason_of(acme, as_alice, f"GUESS{number}") == vouchers.UNKNOWN
    organizations.delete_organization(acme, as_alice, acme.name)
    another = organizations.create_organization(alice, "Another")
    assert reason_of(another, as_alice, made.code) == vouchers.TOO_OFTEN
    join(another, bob, roles.OWNER)
    vouchers.redeem(another, as_bob, made.code)  # who guessed nothing
    assert VoucherUse.objects.count() == 1


@pytest.mark.parametrize("code", ["", "\0", "ไทยไทยไทย", "x" * 10_000, "\ud800"])
def test_what_cannot_be_a_code_is_unknown(acme, as_alice, code):
    assert reason_of(acme, as_alice, code) == vouchers.UNKNOWN


@pytest.mark.parametrize("fields", [{"code": "short"}, {"code": "NOT/ALLOWED"}, {"uses": 0}, {"nanos": -1}])
def test_a_voucher_that_makes_no_sense_is_not_made(db, fields):
    about = {"nanos": 1, "uses": 1, "reason": "x", "actor": Actor.system("staff")} | fields
    with pytest.raises(InvalidField):
        vouchers.make(about.pop("nanos"), **about)


def test_a_code_stands_for_one_voucher(made):
    with pytest.raises(InvalidField):
        vouchers.make(DOLLAR, uses=1, reason="Again", actor=Actor.system("staff"), code=made.code)


@pytest.mark.django_db(transaction=True)
def test_many_at_once_get_no_more_than_there_is(acme, as_alice, balances):
    code = vouchers.make(DOLLAR, uses=3, reason="Launch", actor=Actor.system("staff")).code
    others = [
        Organization.objects.create(public_id=f"org_{number}", slug=f"org-{number}", name=f"Org {number}")
        for number in range(4)
    ]

    def redeem(organization: Organization) -> str:
        try:
            vouchers.redeem(organization, Actor.system("tests"), code)
            return "given"
        except VoucherRefused as refusal:
            return refusal.reason
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        outcomes = sorted(threads.map(redeem, [*others, acme, acme, acme, *others]))
    assert outcomes.count("given") == 3
    assert {*outcomes} <= {"given", vouchers.USED_UP, vouchers.USED_HERE}
    assert balances()["promo"] == -3 * DOLLAR
    assert Voucher.objects.get().used == VoucherUse.objects.count() == 3


def test_staff_make_list_and_withdraw_them(db, capsys):
    call_command("vouchers", "make", "12.50", "--uses", "3", "--until", "2030-01-31", "--reason", "Fair")
    code = capsys.readouterr().out.split()[0]
    assert Voucher.objects.get().expires_at.year == 2030
    call_command("vouchers", "list")
    listed = capsys.readouterr().out
    assert "$12.50" in listed
    assert "0 of 3" in listed
    assert code not in listed
    call_command("vouchers", "withdraw", Voucher.objects.get().public_id)
    with pytest.raises(CommandError):
        call_command("vouchers", "withdraw", "vou_0")
    with pytest.raises(CommandError):
        call_command("vouchers", "make", "NaN", "--reason", "Fair")
