"""A transfer before it is posted, checked as far as that is possible without the accounts. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from common.money import MAX_NANOS
from ledger.errors import InvalidTransfer

LONGEST = {"business_id": 200, "kind": 40, "reason": 300}


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be moved.

    Args:
        business_id: names what the transfer is for, `topup:pi_123`; the same movement always has the same one.
        moves: by account id, what is added to it, in the units of its currency; sums to zero per currency.
        reverses_id: the transfer that this one takes back.

    Raises: InvalidTransfer.
    """

    business_id: str
    kind: str
    moves: Mapping[int, int]
    price_version: int | None = None
    reason: str = ""
    reverses_id: int | None = None

    def __post_init__(self) -> None:
        if not self.business_id or not self.kind:
            raise InvalidTransfer("A transfer needs a business id and a kind.")
        for name, longest in LONGEST.items():
            text = getattr(self, name)
            if len(text) > longest or "\0" in text or "\n" in text:
                raise InvalidTransfer(f"The {name} is longer than {longest} characters, or not one line.")
        for amount in self.moves.values():
            if type(amount) is not int or amount == 0 or abs(amount) > MAX_NANOS:
                raise InvalidTransfer("An amount is a whole number of units other than zero, within 64 bits.")
        if len(self.moves) < 2:
            raise InvalidTransfer("A transfer moves money between at least two accounts.")

    def digest(self) -> bytes:
        """Over all that it says; PostgreSQL computes the same in `ledger.invariants`."""
        moves = ",".join(f"{account}:{amount}" for account, amount in sorted(self.moves.items()))
        version = "" if self.price_version is None else str(self.price_version)
        reverses = "" if self.reverses_id is None else str(self.reverses_id)
        said = "\n".join((self.business_id, self.kind, version, self.reason, reverses, moves))
        return hashlib.sha256(said.encode()).digest()

    def as_tuple(self) -> tuple[str, str, int | None, str, int | None, bytes]:
        return (self.business_id, self.kind, self.price_version, self.reason, self.reverses_id, self.digest())
