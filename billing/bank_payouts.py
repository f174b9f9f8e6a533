"""Payouts that a person sends by bank: a file of what is to be paid, and what became of each.

Exporting a payout marks it as `sending`: from then on only its confirmation, by the bank's reference, or its return
ends it. Exporting again gives the same file.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from billing import payees, payouts
from billing.client import CENT_NANOS
from billing.errors import PayoutRefused
from billing.freezing import about
from billing.models import Payee, Payout
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.transfers import post

COLUMNS = ("payout", "organization", "amount_usd", "holder", "account", "bank")
REFERENCE = "bank:"
GONE, TAKEN = "gone", "reference_used"
OPERATOR = Actor.system("operator")


def rows(period: str = "", actor: Actor = OPERATOR) -> Iterator[tuple[str, ...]]:
    """Of what is open, or of one month's batch; marks it as being sent."""
    open_ones = Payout.objects.filter(state__in=Payout.OPEN, method=Payee.BANK, batch__frozen_at__isnull=False)
    for pk in list(
        (open_ones.filter(batch__period=period) if period else open_ones).order_by("pk").values_list("pk")
    ):
        with transaction.atomic():
            payout = Payout.objects.select_for_update(of=("self",)).select_related("org").get(pk=pk[0])
            payee = payees.payee_of(payout.org)
            if payout.state not in Payout.OPEN or payee is None or not _is_fit(payout, payee):
                continue
            if payout.state == Payout.WAITING:
                before = {"state": payout.state}
                payout.state, payout.attempts = Payout.SENDING, max(1, payout.attempts)
                payout.save(update_fields=["state", "attempts"])
                after = about(payout) | {"state": payout.state}
                audit.record(
                    payout.org, actor, "payout.exported", "payout", payout.public_id, before=before, after=after
                )
        bank = payees.bank_of(payee)
        yield payout.public_id, payout.org.name, f"{payout.cents / 100:.2f}", bank.holder, bank.account, bank.bank


def _is_fit(payout: Payout, payee: Payee) -> bool:
    """What is out stays as it was; nothing new goes where the operator has not found the bank right, or no longer."""
    if payee.method != Payee.BANK or payee.sealed is None or payee.hint != payout.destination:
        return False
    return payout.state == Payout.SENDING or payee.state == Payee.READY


def confirm(public_id: str, reference: str, actor: Actor) -> Payout:
    """The bank has paid it. Again with the same reference changes nothing.

    Raises: PayoutRefused: there is none that waits for this, or the reference stands for another.
    """
    reference = f"{REFERENCE}{reference.strip()}"
    try:
        with transaction.atomic():
            payout = _locked(public_id)
            if payout.state == Payout.PAID and payout.reference == reference:
                return payout
            if payout.state != Payout.SENDING or len(reference) <= len(REFERENCE):
                raise PayoutRefused(GONE, _("This payout is not one that was exported and waits for the bank."))
            payouts.confirm(payout, reference[:80], kinds.BANK_CLEARING)
            after = about(payout) | {"reference": reference}
            audit.record(payout.org, actor, "payout.confirmed", "payout", public_id, after=after)
            return payout
    except IntegrityError:
        raise PayoutRefused(TAKEN, _("This reference stands for another payout.")) from None


def send_back(public_id: str, reason: str, actor: Actor) -> Payout:
    """The bank did not pay it: the money can be paid out anew, and the destination has to be looked at.

    Raises: PayoutRefused.
    """
    with transaction.atomic():
        payout = _locked(public_id)
        if payout.state not in Payout.OPEN:
            raise PayoutRefused(GONE, _("This payout is not open."))
        payees.doubt(payout.org_id)
        payouts.give_back(payout, reason)
        audit.record(
            payout.org, actor, "payout.returned", "payout", public_id, after=about(payout) | {"reason": reason}
        )
        return payout


def put_back(public_id: str, actor: Actor) -> Payout:
    """It was in a file that the bank never got: it waits again, and comes into the next file.

    Raises: PayoutRefused.
    """
    with transaction.atomic():
        payout = _locked(public_id)
        if payout.state != Payout.SENDING:
            raise PayoutRefused(GONE, _("This payout is not one that was exported and waits for the bank."))
        before = {"state": payout.state}
        payout.state = Payout.WAITING
        payout.save(update_fields=["state"])
        after = about(payout) | {"state": payout.state}
        audit.record(payout.org, actor, "payout.put_back", "payout", public_id, before=before, after=after)
        return payout


def came_back(public_id: str, reason: str, actor: Actor) -> Payout:
    """It was booked as paid, and was not, or the bank sent it back: a compensating transfer makes it payable again.

    Raises: PayoutRefused: it was not booked as paid, or came back before.
    """
    with transaction.atomic():
        payout = _locked(public_id)
        if payout.state != Payout.PAID or payout.reversed_cents:
            raise PayoutRefused(GONE, _("This payout was not booked as paid, or has come back already."))
        nanos = payout.cents * CENT_NANOS
        rewards, clearing = ensure_account(kinds.REWARDS_AVAILABLE, payout.org), ensure_account(kinds.BANK_CLEARING)
        moves = {clearing.pk: -nanos, rewards.pk: nanos}
        name = f"{payouts.REVERSED}:{public_id}:{payout.cents}"
        post(Draft(name, payouts.REVERSED, moves, reason=public_id))
        payout.reversed_cents, payout.reason = payout.cents, reason[:80]
        payout.save(update_fields=["reversed_cents", "reason"])
        payees.doubt(payout.org_id)
        after = about(payout) | {"reason": reason}
        audit.record(payout.org, actor, "payout.came_back", "payout", public_id, after=after)
        return payout


def _locked(public_id: str) -> Payout:
    found = Payout.objects.select_for_update(of=("self",)).select_related("org").filter(public_id=public_id).first()
    if found is None or found.method != Payee.BANK:
        raise PayoutRefused(GONE, _("There is no such payout by bank."))
    return found
