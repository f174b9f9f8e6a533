"""From bounds to a hold: what a request takes of them, what its caller is told, what is given back at its end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from common.errors import ConcurrencyLimitExceeded, QuotaExceeded, RateLimitExceeded
from common.ratelimit import remaining
from common.refusal import ShareAIError
from metering.bounds import DAY_US, REQUESTS, TOKENS, Bound
from metering.gate import Gate
from metering.shares import Charge, Verdict

Headers = list[tuple[bytes, bytes]]

SLOT_RETRY_S = 1.0
_PER = {"rpm": "requests per minute", "rpd": "requests per day", "tpm": "tokens per minute", "tpd": "tokens per day"}


def charges_of(bounds: Sequence[Bound], tokens: int) -> list[Charge]:
    """A prompt larger than its whole limit may come when nothing of it is used: the estimate is an estimate."""
    return [(bound, min(tokens, bound.limit) if bound.unit == TOKENS else 1) for bound in bounds]


class Hold:
    """What a request took. `settle` gives back what it did not need, once."""

    __slots__ = ("_charges", "_gate", "headers")

    def __init__(self, gate: Gate, charges: list[Charge], headers: Headers) -> None:
        self._gate = gate
        self._charges = charges
        self.headers = headers

    async def add(self, bounds: Sequence[Bound], tokens: int) -> bool:
        """Takes of further bounds, for another place that the request goes to. False: one of them forbids it."""
        held = {bound.bucket for bound, _ in self._charges}
        charges = charges_of([bound for bound in bounds if bound.bucket not in held], tokens)
        if charges:
            if (await self._gate.admit(charges)).binding >= 0:
                return False
            self._charges += charges
        return True

    def settle(self, tokens: int) -> None:
        """Args: tokens: that were used, in and out; 0 for a request that came to nothing."""
        charges, self._charges = self._charges, []
        for bound, units in charges:
            if bound.unit == TOKENS:
                self._gate.correct(bound, tokens - units)
            elif not bound.window_us:
                self._gate.release(bound)

    def leave(self) -> None:
        """The request is over, though nobody knows yet what it used: gives its slots back."""
        slots = [bound for bound, _ in self._charges if not bound.window_us]
        if slots:
            self._charges = [charge for charge in self._charges if charge[0].window_us]
        for bound in slots:
            self._gate.release(bound)


def refusal_of(charges: Sequence[Charge], verdict: Verdict) -> ShareAIError:
    """What the caller of a request that was not admitted is told."""
    bound = charges[verdict.binding][0]
    about = {"limit": bound.limit, "kind": bound.name, "subject": bound.subject or None}
    if not bound.window_us:
        message = f"The {bound.scope} has {bound.limit} requests in flight, as many as it may."
        return ConcurrencyLimitExceeded(message, scope=bound.scope, retry_after_s=SLOT_RETRY_S, metadata=about)
    wait_s = verdict.wait_us / 1e6
    limit = f"{bound.limit} {_PER[bound.name]}"
    if bound.window_us == DAY_US:
        message = f"The daily quota of the {bound.scope} is used up: {limit}."
        return QuotaExceeded(message, metadata={"scope": bound.scope, **about}, retry_after_s=wait_s)
    message = f"The rate limit of the {bound.scope} is reached: {limit}."
    return RateLimitExceeded(message, scope=bound.scope, retry_after_s=wait_s, metadata=about)


def headers_of(charges: Sequence[Charge], verdict: Verdict) -> Headers:
    """OpenAI's, of the bound of each kind that has the least left."""
    least: dict[str, tuple[int, int, float]] = {}
    for index, ((bound, _), state) in enumerate(zip(charges, verdict.states, strict=True)):
        if not bound.window_us:
            continue
        may = bound.limit if verdict.parts is None else verdict.parts[index]
        left = remaining(state, may, bound.window_us)
        known = least.get(bound.unit)
        if known is None or left < known[0]:
            least[bound.unit] = left, bound.limit, state
    headers: Headers = []
    for unit, of_limit, of_remaining, of_reset in _NAMES:
        if (found := least.get(unit)) is not None:
            left, limit, ahead_us = found
            headers.append((of_limit, b"%d" % limit))
            headers.append((of_remaining, b"%d" % left))
            headers.append((of_reset, duration(ahead_us).encode()))
    return headers


def _named(unit: str) -> tuple[str, bytes, bytes, bytes]:
    limit, remaining, reset = (f"x-ratelimit-{what}-{unit}".encode() for what in ("limit", "remaining", "reset"))
    return unit, limit, remaining, reset


_NAMES = tuple(map(_named, (REQUESTS, TOKENS)))


def duration(us: float) -> str:
    """As OpenAI writes it: `0s`, `12ms`, `1.5s`, `6m0s`, `23h59m3s`. Rounded up."""
    ms = math.ceil(us / 1000)
    if ms < 1000:
        return f"{ms}ms" if ms else "0s"
    if ms < 60_000:
        return f"{ms / 1000:g}s"
    minutes, seconds = divmod(math.ceil(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s"
