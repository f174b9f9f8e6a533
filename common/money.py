"""Money is integers: nano-USD, 1e-9 USD, which fit into BIGINT up to nine thousand million USD.

Prices are nano-USD per million tokens. A request's cost is summed exactly and rounded once, half up. Floats are
refused; so is every amount that would have to be rounded to become nanos, since only settlement may round.
"""

from decimal import Context, Decimal, Inexact, InvalidOperation

from common.rates import Rates, TokenCounts, lines_of

NANOS_PER_USD = 1_000_000_000
MAX_NANOS = 2**63 - 1
_TOKENS_PER_PRICE = 1_000_000
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])
_DIGITS_BELOW_ONE_USD = 3


class AmountInvalid(ValueError):
    """Not a finite amount that nanos can express exactly."""


def nanos_from_usd(usd: Decimal) -> int:
    """Raises: AmountInvalid: for NaN, infinity, more than nine decimals, and what BIGINT cannot hold."""
    return _whole(usd, 9)


def usd_from_nanos(nanos: int) -> Decimal:
    return Decimal(nanos).scaleb(-9, _EXACT)


def usd_text(nanos: int) -> str:
    """For headers: USD with all nine decimals, "0.000123000"; without a Decimal, for the hot path."""
    sign, size = ("-", -nanos) if nanos < 0 else ("", nanos)
    return f"{sign}{size // NANOS_PER_USD}.{size % NANOS_PER_USD:09d}"


def usd_of_millionths(nanos_times_million: int) -> str:
    """Of tokens times their price: exact, without exponent or zeros behind: 1_500_000 → "0.0000000015"."""
    return f"{Decimal(nanos_times_million).scaleb(-15, _EXACT).normalize(_EXACT):f}"


def nanos_per_million_from_usd_per_token(usd: str) -> int:
    """Of a price as APIs write it ("0.00000015"). Raises: AmountInvalid."""
    try:
        return _whole(Decimal(usd), 15)
    except InvalidOperation:
        raise AmountInvalid(f"{usd[:40]!r} is not a price.") from None


def usd_per_token(nanos_per_million: int) -> str:
    """For the API: USD per token, exact, without exponent: 150_000_000 → "0.00000015"."""
    return f"{Decimal(nanos_per_million).scaleb(-15, _EXACT).normalize(_EXACT):f}"


def cost_nanos(tokens: int, price_nanos_per_million: int) -> int:
    """Of one kind of token, rounded half up; a request's cost is `request_cost_nanos`, which rounds once."""
    return _rounded(_counted(tokens) * _counted(price_nanos_per_million))


def request_cost_nanos(usage: TokenCounts, price: Rates) -> int:
    """Exact sum over all kinds of tokens and the request itself, with one rounding, half up.

    Raises: ValueError: for negative figures, and for more cached than input tokens.
    """
    if price.finer is not None:
        return _rounded(sum(line.nanos_times_million for line in lines_of(usage, price))) + price.request_nanos
    cached = _counted(usage.cached_tokens)
    uncached = usage.input_tokens - cached
    if uncached < 0:
        raise ValueError("more tokens were cached than there were")
    cached_rate = price.input_nanos if price.cached_input_nanos is None else price.cached_input_nanos
    exact = (
        uncached * _counted(price.input_nanos)
        + cached * _counted(cached_rate)
        + _counted(usage.output_tokens) * _counted(price.output_nanos)
    )
    return _rounded(exact) + _counted(price.request_nanos)


def format_usd(nanos: int) -> str:
    """For people: cents from one USD on, else three digits that count: $1,234.50, $0.000123, -$0.05, $0.00."""
    sign, size = ("-", -nanos) if nanos < 0 else ("", nanos)
    decimals = 2 if size >= NANOS_PER_USD else _decimals_that_count(size)
    unit = 10 ** (9 - decimals)
    units = (size + unit // 2) // unit
    whole, fraction = divmod(units, 10**decimals)
    digits = f"{fraction:0{decimals}d}"
    return f"{sign}${whole:,}.{digits[:2]}{digits[2:].rstrip('0')}"


def _decimals_that_count(nanos: int) -> int:
    if nanos == 0:
        return 2
    return min(9, 9 - len(str(nanos)) + _DIGITS_BELOW_ONE_USD)


def _whole(amount: Decimal, decimals: int) -> int:
    if not isinstance(amount, Decimal):
        raise TypeError(f"an amount is a Decimal, not {type(amount).__name__}")
    if not amount.is_finite():
        raise AmountInvalid("The amount is not a finite number.")
    if amount.adjusted() > 18:
        raise AmountInvalid("The amount is too large.")
    try:
        whole = int(amount.scaleb(decimals, _EXACT).to_integral_exact(context=_EXACT))
    except (Inexact, InvalidOperation):
        raise AmountInvalid(f"The amount has more than {decimals} decimals.") from None
    if abs(whole) > MAX_NANOS:
        raise AmountInvalid("The amount is too large.")
    return whole


def _rounded(nanos_times_million: int) -> int:
    return (nanos_times_million + _TOKENS_PER_PRICE // 2) // _TOKENS_PER_PRICE


def _counted(figure: int) -> int:
    if figure < 0:
        raise ValueError("tokens and prices are not negative")
    return figure
