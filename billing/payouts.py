"""What the machines of an organisation earned goes out: frozen, then sent, then posted, each once.

    freeze   a batch and its payouts; their money is held, in the same transaction
    send     persisted as `sending` → Stripe is asked what it has for this payout, unless this is the first call →
             called with this payout's key → posted, when a transfer's id is known, and not before

Whatever dies in between leaves a payout that is found again: nothing is sent anew before Stripe was asked. A definite
refusal gives the money back, or waits where it is the platform's balance that is too low.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.models import Organization
from billing import client_payouts, payees
from billing.client import CENT_NANOS, USD
from billing.client_payouts import Sent
from billing.errors import PaymentGone, PaymentsAway, PaymentsOff, PaymentsRefused, PayoutRefused
from billing.models import Payee, Payout
from billing.notices import tell_payout
from ledger import holds, kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.transfers import post

PAYOUT, REVERSED = "payout", "payout_reversed"
LACKS_FUNDS, NOT_VERIFIED, REFUSED, MISMATCH = "platform_balance", "not_verified", "refused", "mismatch"
NO_FUNDS_CODES = {"balance_insufficient", "insufficient_funds"}
NOT_VERIFIED_CODES = {"insufficient_capabilities_for_transfer", "transfers_not_allowed", "account_invalid"}
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=6)
FUNDS_PAUSE = timedelta(hours=1)
AT_ONCE = 200

Mark = Callable[[str], None]


def unmarked(mark: str) -> None:
    """The points at which a process may die are told to nobody."""


def send_due(at: Mark = unmarked, now: datetime | None = None) -> int:
    """Sends what is due by Stripe. Any number of these may run at once. Returns: how many are open afterwards."""
    by_stripe = Payout.objects.filter(state__in=Payout.OPEN, method=Payee.STRIPE, batch__frozen_at__isnull=False)
    due = by_stripe.filter(next_attempt_at__lte=now or timezone.now()).order_by("next_attempt_at", "pk")
    for pk in list(due.values_list("pk", flat=True)[:AT_ONCE]):
        send(pk, at)
    return by_stripe.count()


def send(pk: int, at: Mark = unmarked) -> None:
    """One attempt. Nothing is raised: what is not known now is found out by the next one."""
    with transaction.atomic():
        # Before the call: whoever comes after a death from here on knows that there may be a transfer.
        claimed = Payout.objects.filter(pk=pk, state__in=Payout.OPEN, batch__frozen_at__isnull=False)
        if not claimed.update(state=Payout.SENDING, attempts=F("attempts") + 1, next_attempt_at=_later(pk)):
            return
    at("claimed")
    with transaction.atomic():
        # Held over the call: two workers never stand between asking and calling for the same payout.
        payout = Payout.objects.select_for_update(skip_locked=True).filter(pk=pk, state=Payout.SENDING).first()
        if payout is None:
            return
        try:
            _post(payout, _sent(payout, at), at)
        except PaymentGone:
            _give_back(payout, NOT_VERIFIED)
        except PaymentsRefused as refusal:
            _refused(payout, refusal.reason)
        except (PaymentsAway, PaymentsOff):
            pass  # unknown: the next attempt asks first
    at("ended")


def _later(pk: int) -> datetime:
    attempts = Payout.objects.filter(pk=pk).values_list("attempts", flat=True).first() or 0
    pause: timedelta = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts, 12))
    return timezone.now() + pause


def _sent(payout: Payout, at: Mark) -> Sent:
    if payout.attempts > 1:
        try:
            found = client_payouts.find_transfer(payout.public_id)
        except (PaymentGone, PaymentsRefused) as refusal:
            # The question was refused, not the transfer: whether there is one is as unknown as before.
            raise PaymentsAway from refusal
        at("asked")
        if found is not None:
            return found
    key = f"{payout.public_id}-{payout.key_number}"
    sent = client_payouts.transfer(payout.public_id, payout.destination, payout.cents, key)
    at("called")
    return sent


def _post(payout: Payout, sent: Sent, at: Mark) -> None:
    if (sent.cents, sent.currency, sent.destination) != (payout.cents, USD, payout.destination):
        payout.reason = MISMATCH  # stays open and is looked at by a person: money went out that we did not mean
        payout.save(update_fields=["reason"])
        return
    confirm(payout, sent.id, kinds.STRIPE_CLEARING)
    at("posted")


def confirm(payout: Payout, reference: str, clearing: str) -> None:
    """It is paid. In the transaction of whoever holds the payout's row.

    Args: clearing: the kind of account that the money left the platform by.
    """
    nanos = payout.cents * CENT_NANOS
    rewards, out = ensure_account(kinds.REWARDS_AVAILABLE, payout.org), ensure_account(clearing)
    name = hold_name(payout)
    holds.capture(name, Draft(name, PAYOUT, {rewards.pk: -nanos, out.pk: nanos}, reason=payout.public_id))
    payout.state, payout.reference, payout.reason, payout.ended_at = Payout.PAID, reference, "", timezone.now()
    payout.save(update_fields=["state", "reference", "reason", "ended_at"])
    tell_payout(payout)


def agree_reversal(transfer_id: str) -> bool:
    """What was taken back at Stripe is payable again, however often it is told. Returns: whether it is of a payout.

    Raises: PaymentGone, PaymentsAway.
    """
    cents = client_payouts.reversed_cents(transfer_id)
    with transaction.atomic():
        payout = (
            Payout.objects.select_for_update(of=("self",)).select_related("org").filter(reference=transfer_id).first()
        )
        if payout is None:
            return False
        nanos = (cents - payout.reversed_cents) * CENT_NANOS
        if nanos > 0:
            rewards = ensure_account(kinds.REWARDS_AVAILABLE, payout.org)
            clearing = ensure_account(kinds.STRIPE_CLEARING)
            moves = {clearing.pk: -nanos, rewards.pk: nanos}
            post(Draft(f"{REVERSED}:{payout.public_id}:{cents}", REVERSED, moves, reason=payout.public_id))
            payout.reversed_cents = cents
            payout.save(update_fields=["reversed_cents"])
    return True


def give_back(payout: Payout, reason: str) -> None:
    """It was not paid and will not be: its money can be paid out anew. The caller holds the row."""
    holds.release(hold_name(payout))
    payout.state, payout.reason, payout.ended_at = Payout.RETURNED, reason[:80], timezone.now()
    payout.save(update_fields=["state", "reason", "ended_at"])
    tell_payout(payout)


def take_back(public_id: str, actor: Actor) -> None:
    """Another amount went out than was meant, and a person reversed it at Stripe: the money is payable again.

    Raises: PayoutRefused: it is not reversed, or not whole. PaymentsAway.
    """
    with transaction.atomic():
        mine = Payout.objects.select_for_update(of=("self",)).select_related("org")
        payout = mine.filter(public_id=public_id, state__in=Payout.OPEN, reason=MISMATCH).first()
        if payout is None:
            return
        found = client_payouts.find_transfer(public_id)
        if found is not None and client_payouts.reversed_cents(found.id) < found.cents:
            raise PayoutRefused("not_reversed", _("Reverse the transfer at Stripe first: it is still out."))
        give_back(payout, REFUSED)
        after = {"amount_usd": f"{payout.cents / 100:.2f}", "state": payout.state}
        audit.record(payout.org, actor, "payout.returned", "payout", public_id, after=after)


def hold_name(payout: Payout) -> str:
    return f"{PAYOUT}:{payout.public_id}"


def _refused(payout: Payout, code: str) -> None:
    if code in NO_FUNDS_CODES:
        # Stripe remembers a refusal under its key, so the next call needs another one; it is surely none made.
        payout.state, payout.reason, payout.key_number = Payout.WAITING, LACKS_FUNDS, payout.key_number + 1
        payout.next_attempt_at = timezone.now() + FUNDS_PAUSE
        payout.save(update_fields=["state", "reason", "key_number", "next_attempt_at"])
    else:
        _give_back(payout, NOT_VERIFIED if code in NOT_VERIFIED_CODES else REFUSED)


def _give_back(payout: Payout, reason: str) -> None:
    if reason == NOT_VERIFIED:
        payees.doubt(payout.org_id)
    give_back(payout, reason)


def open_payout(organization: Organization) -> Payout | None:
    return Payout.objects.of(organization).filter(state__in=Payout.OPEN).first()
