"""What this room refuses, as leaves of the tree in `common.errors`.

InvalidRequest 400
└── InvalidRerating   no such price, or not the platform's to change
CodedError
├── PaymentsOff 409   the operator has set no key of Stripe
├── PaymentGone 404   Stripe has no such object
└── PaymentsAway 503  Stripe cannot be asked, or refuses
"""

from __future__ import annotations

from accounts.errors import Conflict
from common.errors import InvalidRequest, NotFound, TemporarilyUnavailable


class InvalidRerating(InvalidRequest):
    CODE = "invalid_rerating"
    MESSAGE = "There is no such price of a connection of the platform."


class PaymentsOff(Conflict):
    CODE = "payments_off"
    MESSAGE = "Credits cannot be bought here: the operator gives them by hand."


class PaymentGone(NotFound):
    CODE = "payment_gone"
    MESSAGE = "The payment service has no such object."


class PaymentsAway(TemporarilyUnavailable):
    CODE = "payments_away"
    MESSAGE = "The payment service does not answer. Nothing was paid; try again in a moment."
