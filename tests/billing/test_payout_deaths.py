"""Workers are killed at every marked point while Stripe answers as badly as it can: each payout is paid once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from django.db.models import Sum

from accounts.models import Organization
from billing.models import Payout
from demo.payments.state import Object
from ledger.models import Transfer
from tests.billing.payees import DOLLAR, account_at, earn
from tests.billing.payout_worker import MARKS, attempt
from tests.fakes.payments import KEY, SECRET, PaymentDouble
from tests.stack import database_url

PROJECT = Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("SHAREAI_LONG"))
PAYOUTS, KILLS, MOST = (5_000, 400, 24) if LONG else (24, 16, 1)
PERIOD = "2026-11"
ANSWERS = ("", "", "cut", "500", "pruned", "poor")
FORGETS = 0.02
"""How often, before a transfer, Stripe has forgotten all idempotency keys."""
ROUNDS = 200


class Weather:
    """What goes wrong with transfers: chosen by chance, not for ever; and each kind of it was seen."""

    def __init__(self, double: PaymentDouble, seed: int) -> None:
        self.seen: Counter[str] = Counter()
        self._double = double
        self._chance = random.Random(seed)

    def __call__(self, path: str, given: Object) -> str:
        if path != "transfers":
            return ""
        if self._chance.random() < FORGETS:
            self._double.forget_keys()
        answer = self._chance.choice(ANSWERS)
        self.seen[answer] += 1
        self._double.state.funds_cents = 0 if answer == "poor" else None
        return "" if answer == "poor" else answer


@pytest.fixture
def weather(settings):
    with PaymentDouble() as double:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
        settings.STRIPE_BASE_URL = double.url
        weather = Weather(double, seed=4)
        double.state.faults = weather
        yield double, weather


def killed_at(double: PaymentDouble, kills: int) -> Counter[str]:
    """Runs workers until so many were killed. Returns: at which points."""
    stripe = {"STRIPE_SECRET_KEY": KEY, "STRIPE_WEBHOOK_SECRET": SECRET, "STRIPE_BASE_URL": double.url}
    command = [sys.executable, "-m", "tests.billing.payout_worker", "7", str(kills), str(MOST), PERIOD]
    environment = {**os.environ, **stripe, "DATABASE_URL": database_url()}
    done = subprocess.run(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Counter(done.stdout.split("\n")[:-1])


def test_each_is_paid_once_whatever_dies(transactional_db, alice, weather):
    double, seen = weather
    for number in range(PAYOUTS):
        organization = Organization.objects.create(
            public_id=f"org_payee{number}", slug=f"payee-{number}", name=f"Payee {number}"
        )
        earn(organization, (30 + number % 9) * DOLLAR)
        account_at(double, organization)
    points = killed_at(double, KILLS)
    for _ in range(ROUNDS):
        double.forget_keys()
        attempt(lambda mark: None, PERIOD)
        if not Payout.objects.filter(state__in=Payout.OPEN).exists():
            break
    sent = Counter(one["transfer_group"] for one in double.state.of("transfer"))
    assert Payout.objects.filter(state=Payout.PAID).count() == PAYOUTS
    assert len(sent) == PAYOUTS
    assert set(sent.values()) == {1}
    assert sum(one["amount"] for one in double.state.of("transfer")) == Payout.objects.aggregate(n=Sum("cents"))["n"]
    assert Transfer.objects.filter(kind="payout").count() == PAYOUTS
    assert points.keys() == {*MARKS}
    assert seen.seen.keys() == {*ANSWERS}
