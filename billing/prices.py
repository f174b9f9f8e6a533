"""The price book, as settlement reads it: through a cursor, and remembered, for what is in it never changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from common.rates import FinerRates
from ledger.posting import Cursor

if TYPE_CHECKING:
    from billing.models import PriceVersion

READ = """
SELECT target_id, version, owner_id, input_nanos, cached_input_nanos, output_nanos, request_nanos,
    finer::text
FROM billing_priceversion WHERE target_id = ANY(%s)
"""
NOT_SOLD = -1
"""The owner of a target that is not in the book: nobody is charged for it."""
PLATFORM = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-USD per million tokens, and per request."""

    input_nanos: int
    cached_input_nanos: int | None
    output_nanos: int
    request_nanos: int
    finer: FinerRates | None = None


def finer_rates(told: dict[str, Any] | None) -> FinerRates | None:
    """As the book keeps them."""
    return None if told is None else msgspec.convert(told, FinerRates)


def rates_of(row: PriceVersion) -> Rates | None:
    """None: no price was known."""
    if row.input_nanos is None or row.output_nanos is None:
        return None
    return Rates(row.input_nanos, row.cached_input_nanos, row.output_nanos, row.request_nanos, finer_rates(row.finer))


_decoded = msgspec.json.Decoder(FinerRates).decode


class PriceBook:
    def __init__(self) -> None:
        self.owners: dict[int, int] = {}
        """Of each target that was asked for: an organisation's id, PLATFORM or NOT_SOLD."""
        self._rates: dict[tuple[int, int], Rates] = {}

    def read(self, cursor: Cursor, targets: Collection[int]) -> None:
        cursor.execute(READ, (list(targets),))
        for target, version, owner, *figures, finer in cursor.fetchall():
            self.owners[target] = PLATFORM if owner is None else owner
            if figures[0] is not None:
                self._rates[target, version] = Rates(*(*figures, finer and _decoded(finer)))
        for target in targets:
            self.owners.setdefault(target, NOT_SOLD)

    def find(self, cursor: Cursor, target: int, version: int | None) -> Rates | None:
        """None: there is no such price. Asks again for one that is newer than what was read."""
        if version is None:
            return None
        if (target, version) not in self._rates:
            self.read(cursor, [target])
        return self._rates.get((target, version))
