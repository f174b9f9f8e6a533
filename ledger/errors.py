"""What this room refuses, as leaves of the tree in `common.errors`.

InvalidRequest 400
└── InvalidTransfer       does not sum to zero, moves nothing, names no account, or is not in whole units
InsufficientBalance 402
└── NotCovered            a prepaid account would go below what it holds
Conflict 409
├── BusinessIdReused      the id stands for another transfer or hold
├── NotReversible         reversed already, or itself a reversal
└── HoldEnded             captured or released already
"""

from __future__ import annotations

from accounts.errors import Conflict
from common.errors import InsufficientBalance, InvalidRequest


class InvalidTransfer(InvalidRequest):
    CODE = "invalid_transfer"
    MESSAGE = "The transfer is not one that can be posted."


class NotCovered(InsufficientBalance):
    def __init__(self, account_id: int, wanted: int) -> None:
        self.account_id, self.wanted = account_id, wanted
        super().__init__()


class BusinessIdReused(Conflict):
    CODE = "business_id_reused"
    MESSAGE = "This id was used for another movement of money."


class NotReversible(Conflict):
    CODE = "not_reversible"
    MESSAGE = "This movement of money cannot be reversed, or was reversed already."


class HoldEnded(Conflict):
    CODE = "hold_ended"
    MESSAGE = "The money that was held has been used or released already."
