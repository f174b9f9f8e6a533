"""Makes the ledger agree with what Stripe says of a payment: however often, in whichever order it is told.

An event only says which payment to look at. Payment, refunds and disputes are asked anew, and what the ledger does
not have yet is posted: `topup:<payment>`, `refund:<refund>`, `dispute:<dispute>`, each once.
"""

from __future__ import annotations

from contextlib import suppress

from django.db import connection, transaction
from django.utils import timezone

from billing import cards, client, client_cards, payees, payouts
from billing.client import CENT_NANOS, USD, Payment, Takeback
from billing.errors import PaymentGone, PaymentsAway
from billing.models import Concern, StripeEvent, TopUp
from ledger import kinds, transfers
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.models import Transfer
from ledger.posting import lock_accounts

TOP_UP, REFUND, DISPUTE = "stripe_topup", "refund", "dispute"
TAKEN_BACK = "no longer taken back"

SAVED, SENT_BACK = "checkout.session.completed", "transfer.reversed"
OF_ACCOUNTS = ("account.updated", "v2.core.account")
"""Of those who are paid, in Stripe's older and newer kind of events."""
CARD_KEPT, CREDITED, NOT_OURS, NOT_PAID, OTHER_CURRENCY, IMPLAUSIBLE, NOTHING = (
    "card kept",
    "agrees",
    "not a top-up of ours",
    "not paid",
    "paid in another currency",
    "paid an amount that cannot be true",
    "nothing to do",
)
MOST_CENTS = 99_999_999
"""No payment by Stripe is larger."""


def handle(event_id: str) -> None:
    """Raises: PaymentsAway: it waits, and is tried again."""
    with transaction.atomic():
        event = StripeEvent.objects.select_for_update(skip_locked=True).filter(pk=event_id, handled_at=None).first()
        if event is None:
            return
        event.outcome, event.handled_at = _outcome(event), timezone.now()
        event.save(update_fields=["outcome", "handled_at"])


def agree(payment_id: str) -> str:
    """Returns: what came of it. Raises: PaymentGone, PaymentsAway."""
    payment = client.payment(payment_id)
    with transaction.atomic():
        # Whoever looks at the same payment at the same time waits here, and then finds all of it posted.
        top_up = TopUp.objects.select_for_update().filter(public_id=payment.top_up).first()
        if top_up is None:
            return NOT_OURS
        if not payment.is_paid:
            return NOT_PAID
        if payment.currency != USD:
            return _left_to_a_person(top_up, Concern.OTHER_CURRENCY, OTHER_CURRENCY)
        if not 0 < payment.received_cents <= MOST_CENTS:
            return _left_to_a_person(top_up, Concern.IMPLAUSIBLE, IMPLAUSIBLE)
        if top_up.payment_id not in (None, payment_id):
            return NOT_OURS
        _credit(top_up, payment)
        for kind, found in ((REFUND, client.refunds_of(payment_id)), (DISPUTE, client.disputes_of(payment_id))):
            for takeback in found:
                _take_back(top_up, kind, takeback)
    with suppress(PaymentGone, PaymentsAway):
        if payment.kept_card and not cards.is_kept(top_up.org, payment.kept_card):
            cards.adopt(client_cards.card(payment.kept_card))
    return CREDITED


def _outcome(event: StripeEvent) -> str:
    try:
        if event.type == SAVED and cards.adopt_from(event.object_id):
            return CARD_KEPT
        if event.type == SENT_BACK:
            return CREDITED if payouts.agree_reversal(event.object_id) else NOT_OURS
        if event.type.startswith(OF_ACCOUNTS):
            return CREDITED if payees.agree_account(event.object_id) else NOT_OURS
        payment_id = client.payment_of(event.type, event.object_id)
        return agree(payment_id) if payment_id else NOTHING
    except PaymentGone:
        return NOT_OURS


def _left_to_a_person(top_up: TopUp, why: str, outcome: str) -> str:
    """`billing.concerns` tells staff, and the page its buyer."""
    if top_up.state == TopUp.PENDING and top_up.failure != why:
        top_up.failure = why
        top_up.save(update_fields=["failure"])
    return outcome


def _credit(top_up: TopUp, payment: Payment) -> None:
    nanos = payment.received_cents * CENT_NANOS
    wallet, clearing = ensure_account(kinds.WALLET, top_up.org), ensure_account(kinds.STRIPE_CLEARING)
    transfers.post(Draft(f"topup:{payment.id}", TOP_UP, {clearing.pk: -nanos, wallet.pk: nanos}))
    if top_up.state != TopUp.PAID:
        top_up.state, top_up.paid_at = TopUp.PAID, timezone.now()
        top_up.payment_id, top_up.received_cents, top_up.checkout_url = payment.id, payment.received_cents, ""
        top_up.failure = ""
        top_up.save()


def _take_back(top_up: TopUp, kind: str, takeback: Takeback) -> None:
    """What is spent already is written off."""
    business_id = f"{kind}:{takeback.id}"
    is_posted = Transfer.objects.filter(business_id=business_id).exists()
    if is_posted and not takeback.is_standing:
        transfers.reverse(business_id, TAKEN_BACK)
    if is_posted or not takeback.is_standing:
        return
    nanos = takeback.cents * CENT_NANOS
    wallet, write_off = ensure_account(kinds.WALLET, top_up.org), ensure_account(kinds.WRITE_OFF)
    clearing = ensure_account(kinds.STRIPE_CLEARING)
    with connection.cursor() as cursor:
        locked = lock_accounts(cursor, [wallet.pk, write_off.pk, clearing.pk])[wallet.pk]
    covered = min(nanos, max(0, locked.balance - locked.held))
    moves = {wallet.pk: -covered, write_off.pk: covered - nanos, clearing.pk: nanos}
    transfers.post(Draft(business_id, kind, {account: amount for account, amount in moves.items() if amount}))
