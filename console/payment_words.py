"""Codes of payments and payouts, as people say them."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.models import Payee

ACTIONS: dict[str, Promise] = {
    "billing.credit_given": _("gave credits to"),
    "billing.credit_limit_set": _("set the credit limit of"),
    "billing.auto_top_up_set": _("set automatic top-ups"),
    "billing.card_declined": _("was refused by the card for"),
    "billing.card_removed": _("removed the saved card"),
    "billing.card_saved": _("saved a card"),
    "billing.details_set": _("changed the billing details"),
    "billing.top_up_ordered": _("ordered credits"),
    "billing.voucher_redeemed": _("redeemed a voucher"),
    "billing.voucher_refused": _("tried a voucher that is none"),
    "cause.closed": _("closed the cause"),
    "concern.closed": _("noted as done what needed a person:"),
    "cause.created": _("added the cause"),
    "cause.paid": _("noted what was paid to the cause"),
    "cause.reopened": _("opened the cause again"),
    "cause.updated": _("changed the cause"),
    "transfer.reversed": _("took back the transfer"),
    "price.corrected": _("charged anew, by another price, what was served by"),
    "voucher.made": _("made vouchers:"),
    "voucher.offered_again": _("offered the voucher again"),
    "voucher.withdrawn": _("withdrew vouchers"),
    "payout.came_back": _("booked as come back the payout"),
    "payout.exported": _("put into the bank's file the payout"),
    "payout.put_back": _("took out of the bank's file the payout"),
    "payout.confirmed": _("confirmed the payout"),
    "payout.frozen": _("made the monthly payout"),
    "payout.requested": _("asked for the payout"),
    "payout.returned": _("took back the payout"),
    "payout_destination.changed": _("changed where it is paid"),
    "payout_destination.read": _("read the bank details of"),
}

OBJECT_TYPES: dict[str, Promise] = {
    "top_up": _("Top-up"),
    "transfer": _("Transfer"),
    "auto_top_up": _("Automatic top-up"),
    "billing_details": _("Billing details"),
    "card": _("Card"),
    "cause": _("Cause"),
    "concern": _("Needs a person"),
    "payee": _("Destination of payouts"),
    "payout": _("Payout"),
    "voucher": _("Voucher"),
    "voucher_batch": _("Batch of vouchers"),
    "wallet": _("Balance"),
}

DECLINES: dict[str, Promise] = {
    "authentication_required": _("the bank wants to ask its customer"),
    "card_declined": _("the bank declined it"),
    "card_gone": _("there is no saved card any more"),
    "do_not_honor": _("the bank declined it"),
    "expired_card": _("the card has expired"),
    "generic_decline": _("the bank declined it"),
    "insufficient_funds": _("not enough money on the account"),
    "not_paid": _("the bank declined it"),
}

PAYOUT_REASONS: dict[str, Promise] = {
    "mismatch": _("being looked at: what was sent is not what was meant"),
    "not_verified": _("the destination does not take payments: complete it and try again"),
    "platform_balance": _("waiting until the platform's own balance covers it"),
    "refused": _("the payment service refused it"),
}


CONCERNS: dict[str, tuple[Promise, Promise]] = {
    "other_currency": (
        _("A top-up was paid in another currency"),
        _("No credits were given. Refund it at Stripe, or give the credits by hand with manage.py give_credit."),
    ),
    "implausible": (
        _("A top-up was paid with an amount that cannot be true"),
        _("No credits were given. Look at the payment at Stripe; refund it, or give the credits by hand."),
    ),
    "mismatch": (
        _("A payout went out otherwise than was meant"),
        _("Reverse the transfer of this payout at Stripe, then press Done: the money is payable again."),
    ),
    "unsettled": (
        _("Requests that charged nobody"),
        _("Their usage cannot be true, or had no price. Enter the price that is missing, or look at the provider."),
    ),
    "stuck_event": (
        _("An event of Stripe's cannot be handled"),
        _("It is tried every minute, and the worker's log says why it fails. Look at the event at Stripe."),
    ),
}
"""Of each kind of `billing.models.Concern`: what it is, and what to do."""

PAYEE_PROBLEMS: dict[str, Promise] = {
    "account_gone": _("the account is gone at Stripe: set it up again"),
    "determining_status": _("Stripe is finding out whether it can pay you"),
    "refused": _("the last payout to it was refused"),
    "requirements_past_due": _("Stripe needs details from you"),
    "requirements_pending_verification": _("Stripe checks what you gave, which can take a few days"),
    "restricted_other": _("Stripe has restricted the account: its own page says why"),
    "unsupported_business": _("Stripe does not pay businesses of this kind"),
    "unsupported_country": _("Stripe does not pay to this country"),
    "unsupported_entity_type": _("Stripe does not pay organisations of this kind in this country"),
}
CHECKED_BY_STRIPE = {"determining_status", "requirements_pending_verification"}


def payee_problem(payee: Payee) -> str:
    """In words. Of a bank it is what the operator wrote; Stripe may have codes that are newer than these words."""
    if payee.problem in PAYEE_PROBLEMS or payee.method == Payee.BANK or not payee.problem:
        return str(PAYEE_PROBLEMS.get(payee.problem, payee.problem))
    return str(PAYEE_PROBLEMS["requirements_past_due"])


def decline(code: str) -> str:
    """Of a card. Stripe has more codes than people have use for."""
    return str(DECLINES.get(code, DECLINES["card_declined"]))


def payout_reason(code: str) -> str:
    return str(PAYOUT_REASONS.get(code, code))
