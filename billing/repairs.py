"""Which transfers an operator may take back by hand: not those that other books go on telling of.

A settlement has its charges, a payout the bank's word, a top-up Stripe's. Taking back the transfer alone would leave
those books saying what is no longer so; each has a way of its own. A transfer that its books know nothing of, as
`reconcile` finds them, may be taken back whatever its kind.
"""

from __future__ import annotations

from collections.abc import Callable

from billing.crediting import DISPUTE, REFUND, TOP_UP
from billing.earnings.clawback import CLAWBACK
from billing.earnings.maturity import MATURITY
from billing.earnings.models import Case, Lot
from billing.models import Charge, Payout, TopUp
from billing.payouts import PAYOUT, REVERSED
from ledger.models import Hold, Transfer
from metering.budget_postings import SPENT
from metering.windows import ALLOTMENT

_BUDGETS = "A budget is changed where it is set; what was spent of it stays spent."
_CHARGES = "Charges are by it. Correct the price: manage.py rerate."
_LOTS = "An owner's lots are by it. Decide the case, or correct the price: manage.py rerate."
_PAYOUT = "A payout is by it. Take it back at Stripe, or note at /staff/payouts that the bank returned it."
_STRIPE = "Stripe says so. Refund at Stripe what was paid; it comes here by itself."


def refusal_of(transfer: Transfer) -> str:
    """Why not, in words for an operator; "" where nothing is against it."""
    told = _TOLD.get(transfer.kind)
    return told(transfer) if told else ""


def _by_charges(transfer: Transfer) -> str:
    return _CHARGES if Charge.objects.filter(transfer_id=transfer.pk).exists() else ""


def _by_split(transfer: Transfer) -> str:
    """Of the settlement that its id names, `split:<settlement>:<owner>:<kind>`; older ids end before the kind."""
    settlement = transfer.business_id.removeprefix("split:").removesuffix(f":{transfer.kind}").rpartition(":")[0]
    return _LOTS if Transfer.objects.filter(business_id=settlement).exists() else ""


def _by_lot(transfer: Transfer) -> str:
    lot = _second(transfer)
    return _LOTS if lot.isdecimal() and Lot.objects.filter(pk=int(lot)).exists() else ""


def _by_case(transfer: Transfer) -> str:
    return _LOTS if Case.objects.filter(public_id=_second(transfer)).exists() else ""


def _by_payout(transfer: Transfer) -> str:
    is_known = Payout.objects.filter(public_id=_second(transfer)).exists()
    return _PAYOUT if is_known or Hold.objects.filter(transfer=transfer).exists() else ""


def _by_top_up(transfer: Transfer) -> str:
    return _STRIPE if TopUp.objects.filter(payment_id=_second(transfer)).exists() else ""


def _second(transfer: Transfer) -> str:
    """What a business id is about: `payout:<this>`, `maturity:<this>:<number>`."""
    return transfer.business_id.split(":")[1] if ":" in transfer.business_id else ""


_TOLD: dict[str, Callable[[Transfer], str]] = {
    "settlement": _by_charges,
    "rerating": _by_charges,
    "donation": _by_split,
    "exchange": _by_split,
    MATURITY: _by_lot,
    CLAWBACK: _by_case,
    PAYOUT: _by_payout,
    REVERSED: _by_payout,
    TOP_UP: _by_top_up,
    REFUND: lambda transfer: _STRIPE,
    DISPUTE: lambda transfer: _STRIPE,
    ALLOTMENT: lambda transfer: _BUDGETS,
    SPENT: lambda transfer: _BUDGETS,
}
