"""Webhooks valid, forged, replayed, out of order and doubled at the same moment, while workers handle them."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import httpx
import pytest
from django.db import connection
from django.db.models import Sum
from django.test import Client

from billing import events, topups
from billing.models import StripeEvent, TopUp
from demo.payments.state import Object
from ledger.models import Transfer
from tests.billing.test_payments import deliver
from tests.billing.test_payments import double as double

DELIVERIES = 10_000 if os.environ.get("SHAREAI_LONG") else 160
THREADS = 8
FORGERIES = ({"secret": ""}, {"secret": "whsec_guess"}, {"at_s": 0})

pytestmark = pytest.mark.django_db(transaction=True)


def storm(genuine: list[Object], victim: str, chance: random.Random) -> list[tuple[Object, dict]]:
    """Each event twice at least, a quarter of all forged, in any order; doubles stand beside each other."""
    forged = [
        ({"id": f"evt_forged_{number}", "type": "payment_intent.succeeded", "data": {
            "object": {"id": f"pi_{number}", "metadata": {"top_up": victim}},
        }}, chance.choice(FORGERIES))
        for number in range(DELIVERIES // 4)
    ]  # fmt: skip
    pairs = [[(event, {})] * 2 for event in genuine]
    while sum(map(len, pairs)) + len(forged) < DELIVERIES:
        pairs.append([(chance.choice(genuine), {})] * 2)
    pairs += [[one] for one in forged]
    chance.shuffle(pairs)
    return list(chain.from_iterable(pairs))


def send(deliveries: list[tuple[Object, dict]]) -> Counter[tuple[bool, int]]:
    """Returns: how often what was forged, and what was not, was answered how."""
    client = Client()
    try:
        return Counter((bool(how), deliver(event, client=client, **how)) for event, how in deliveries)
    finally:
        connection.close()


def work(until: list[bool]) -> None:
    """A worker, of which there are two."""
    try:
        while not until:
            events.handle_waiting()
            time.sleep(0.02)
    finally:
        connection.close()


def test_credits_are_what_was_paid_and_nothing_that_was_forged(acme, as_alice, double, balances):
    for number in range(max(8, DELIVERIES // 50)):
        page = topups.order(acme, as_alice, str(5 + number % 7)).checkout_url
        httpx.post(page, data={"act": "pay"})
    for payment in double.state.of("payment")[::5]:
        double.state.refund(payment["id"], 100)
    deliveries = storm(double.events, TopUp.objects.first().public_id, random.Random(11))
    over: list[bool] = []
    with ThreadPoolExecutor(THREADS + 2) as threads:
        workers = [threads.submit(work, over) for _ in range(2)]
        told = sum(threads.map(send, [deliveries[n::THREADS] for n in range(THREADS)]), Counter())
        over.append(True)
        [worker.result() for worker in workers]
    assert events.handle_waiting() == 0
    assert told.keys() == {(False, 200), (True, 400)}
    assert told.total() >= DELIVERIES
    received = TopUp.objects.aggregate(all=Sum("received_cents"))["all"]
    refunded = sum(one["amount"] for one in double.state.of("refund"))
    assert received == sum(one["amount_received"] for one in double.state.of("payment"))
    assert balances()["acme wallet"] == (received - refunded) * 10_000_000
    assert Transfer.objects.filter(kind="stripe_topup").count() == TopUp.objects.count()
    assert not StripeEvent.objects.filter(pk__startswith="evt_forged").exists()
