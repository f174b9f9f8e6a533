"""What a route says of its streams: does one that breaks off go on elsewhere, is a slow one hedged."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

from accounts.errors import InvalidField
from common.numbers import is_whole
from routing.plans import Hedge

LONGEST_HEDGE_MS = 60_000
MOST_HEDGED_PERCENT = 50
USUAL_HEDGED_PERCENT = 5
USUAL_EXTRA_USD = "0.01"
MOST_EXTRA_USD = 100
_NANOS = 1_000_000_000
_LEAST_USD = Decimal("1e-9")


def check_streams(given: Mapping[str, Any]) -> dict[str, Any]:
    """The stored form of `continue_streams` and `hedge`. Raises: InvalidField."""
    return {
        "continue_streams": bool(given.get("continue_streams", False)),
        "hedge": _hedge(given.get("hedge")),
    }


def hedge_of(stored: Mapping[str, Any] | None) -> Hedge | None:
    if not stored:
        return None
    after_ms = stored["after_ms"]
    return Hedge(
        after_s=None if after_ms is None else after_ms / 1000,
        most_percent=stored["most_percent"],
        most_extra_nanos=int(Decimal(stored["most_extra_usd"]) * _NANOS),
    )


def _hedge(given: Any) -> dict[str, Any] | None:
    if given is None:
        return None
    if not isinstance(given, Mapping) or given.keys() - {"after_ms", "most_percent", "most_extra_usd"}:
        raise InvalidField.one("hedge", _("Give after_ms, most_percent, most_extra_usd, or an empty object."))
    after_ms, percent = given.get("after_ms"), given.get("most_percent", USUAL_HEDGED_PERCENT)
    if after_ms is not None and not is_whole(after_ms, 1, LONGEST_HEDGE_MS):
        message = _("after_ms is a whole number of milliseconds from 1 to %(most)d.")
        raise InvalidField.one("hedge", message % {"most": LONGEST_HEDGE_MS})
    if not is_whole(percent, 1, MOST_HEDGED_PERCENT):
        message = _("most_percent is a whole number from 1 to %(most)d.")
        raise InvalidField.one("hedge", message % {"most": MOST_HEDGED_PERCENT})
    return {"after_ms": after_ms, "most_percent": percent, "most_extra_usd": _extra(given.get("most_extra_usd"))}


def _extra(value: Any) -> str:
    if value is None:
        return USUAL_EXTRA_USD
    try:
        usd = Decimal(str(value))
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or not 0 <= usd <= MOST_EXTRA_USD:
        message = _("most_extra_usd is US dollars from 0 to %(most)d.")
        raise InvalidField.one("hedge", message % {"most": MOST_EXTRA_USD})
    return format(usd.quantize(_LEAST_USD).normalize(), "f")
