"""What this room refuses, as leaves of the tree in `common.errors`.

InvalidRequest 400
├── InvalidRerating   no such price, or not the platform's to change
└── VoucherRefused    unknown, expired, used up, withdrawn, or used here before; `reason` says which
CodedError
├── PaymentsOff 409   the operator has set no key of Stripe
├── PayoutRefused 409 nothing to pay out, too little, no destination yet; `reason` says which
├── CardMissing 409   automatic top-ups need a saved card
├── TooManyTries 429  of codes that are none
├── PaymentGone 404   Stripe has no such object
└── PaymentsAway 503  Stripe cannot be asked
    └── PaymentsRefused  it was asked, and refuses: nothing was done

`CardDeclined` stays in the room: it is told by notices.
"""

from __future__ import annotations

from accounts.errors import Conflict
from common.errors import InvalidRequest, NotFound, TemporarilyUnavailable


class InvalidRerating(InvalidRequest):
    CODE = "invalid_rerating"
    MESSAGE = "There is no such price of something that is sold."


class PaymentsOff(Conflict):
    CODE = "payments_off"
    MESSAGE = "Credits cannot be bought here: the operator gives them by hand."


class PaymentGone(NotFound):
    CODE = "payment_gone"
    MESSAGE = "The payment service has no such object."


class PaymentsAway(TemporarilyUnavailable):
    CODE = "payments_away"
    MESSAGE = "The payment service does not answer. Nothing was paid; try again in a moment."


class PaymentsRefused(PaymentsAway):
    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__()


class CardDeclined(Exception):
    """Nothing was paid. Args: reason: Stripe's decline code, or `authentication_required`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class VoucherRefused(InvalidRequest):
    CODE = "voucher_refused"
    MESSAGE = "This code gives no credits."

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message, param="code", metadata={"reason": reason})


class CardMissing(Conflict):
    CODE = "card_missing"
    MESSAGE = "Save a card first: automatic top-ups are charged to it."


class PayoutRefused(Conflict):
    CODE = "payout_refused"
    MESSAGE = "There is nothing to pay out now."

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message, metadata={"reason": reason})
