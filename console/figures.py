"""How figures are shown to people: money from nano-USD, counts, durations. Pure; templates and CSV use it."""

from __future__ import annotations

from decimal import Decimal

from common.money import NANOS_PER_USD, usd_of_millionths

_SMALL_NANOS = 10_000_000  # below one cent


def usd_exact(nanos: int) -> str:
    """All the digits there are, at least cents: `$0.000123`, `-$1.50`, `$12.00`."""
    sign = "-" if nanos < 0 else ""
    return f"{sign}${_in_cents(f'{Decimal(abs(nanos)) / NANOS_PER_USD:.9f}')}"


def usd_of_line(nanos_times_million: int) -> str:
    """Of tokens times their price: exact, which can be more digits than nanos have."""
    return f"${_in_cents(usd_of_millionths(nanos_times_million))}"


def thousands(number: int) -> str:
    return f"{number:,}"


def _in_cents(text: str) -> str:
    whole, _dot, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def usd(nanos: int) -> str:
    """Cents for amounts that people count in cents, three significant digits for what is smaller."""
    if nanos == 0:
        return "$0.00"
    if abs(nanos) >= _SMALL_NANOS:
        sign = "-" if nanos < 0 else ""
        return f"{sign}${Decimal(abs(nanos)) / NANOS_PER_USD:,.2f}"
    value = Decimal(abs(nanos)) / NANOS_PER_USD
    rounded = f"{value:.{2 - value.adjusted()}f}".rstrip("0")
    return f"{'-' if nanos < 0 else ''}${rounded}"


def usd_down(nanos: int) -> str:
    """As `usd`, never more than there is: for what can still be spent."""
    unit = _SMALL_NANOS if abs(nanos) >= _SMALL_NANOS else 10 ** max(0, len(str(abs(nanos))) - 3)
    return usd(nanos // unit * unit)


def per_thousand(nanos: int) -> str:
    """What a thousand such requests would cost."""
    return usd(nanos * 1000)


def compact(number: int | float) -> str:
    """`987`, `9,870`, `12.3k`, `4.56M`."""
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    for size, letter in ((1_000_000_000, "B"), (1_000_000, "M")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number / 1000:.3g}k" if abs(number) < 999_500 else "1M"


def duration(milliseconds: int | float | str | None) -> str:
    """A dash for what is not known; templates hand over "" for what is not there at all."""
    if milliseconds is None or isinstance(milliseconds, str):
        return "–"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.2f} s"
    minutes, rest = divmod(round(milliseconds / 1000), 60)
    return f"{minutes} min {rest} s"


def microseconds(count: int) -> str:
    return f"{count} µs" if count < 1000 else f"{count / 1000:.1f} ms"


def percent(part: int | float, whole: int | float) -> str:
    if not whole:
        return "–"
    share = 100 * part / whole
    return f"{share:.0f} %" if share in (0, 100) else f"{share:.1f} %"


def memory(count_bytes: int) -> str:
    """As graphics cards are sold: `24 GB`, `512 MB`; a GB is 2^30 bytes."""
    gigabytes = count_bytes / (1 << 30)
    if gigabytes >= 10:
        return f"{gigabytes:.0f} GB"
    return f"{gigabytes:.1f} GB".replace(".0 ", " ") if gigabytes >= 1 else f"{count_bytes / (1 << 20):.0f} MB"
