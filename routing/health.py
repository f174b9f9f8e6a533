"""What this process knows of each target: breaker, cooldown, speed, how busy, and who was taken out of use elsewhere.

State is kept per target and credential for breaker and cooldown, per target for speed. What other processes, probes
and people know comes in through `routing.health_news`, and what breakers do here goes out through it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from math import log

import msgspec

FAILURES_IN_A_ROW = 5
WINDOW_S = 30.0
LEAST_IN_WINDOW = 20
OPEN_S, LONGEST_OPEN_S = 15.0, 300.0
PARK_S = 300.0
DEFAULT_COOLDOWN_S = 5.0
_SMOOTHING = 0.2


class Breaker:
    """Closed → open after 5 failures in a row or half of ≥ 20 in 30 s → one probe after 15 s, doubling to 5 min."""

    __slots__ = ("_failures", "_in_a_row", "_open_for_s", "_probing", "_recent", "_tell", "open_until")

    def __init__(self, tell: Callable[[Breaker, str], None] | None = None) -> None:
        """`tell` hears that it opened, and why, or closed, by what was seen here."""
        self._tell = tell
        self._recent: deque[tuple[float, bool]] = deque()
        self.reset()

    def reset(self) -> None:
        """Closes it and forgets what was seen."""
        self.open_until = 0.0
        self._in_a_row = 0
        self._open_for_s = OPEN_S
        self._probing = False
        self._recent.clear()
        self._failures = 0

    def open_elsewhere(self, until: float) -> None:
        """Another process saw enough failures."""
        if until > self.open_until:
            self.open_until = until
            self._probing = False

    def allows(self, now: float) -> bool:
        """Whether a request may go now. While half open only the one that `take` handed out may."""
        return self.open_until == 0.0 or (now >= self.open_until and not self._probing)

    def take(self, now: float) -> None:
        """Called when a request really goes: the first after the open time is the probe."""
        if self.open_until and now >= self.open_until:
            self._probing = True

    def release(self) -> None:
        """The request ended without evidence either way (its caller left)."""
        self._probing = False

    def succeeded(self, now: float) -> None:
        self._in_a_row = 0
        if self.open_until:
            self.reset()
            if self._tell is not None:
                self._tell(self, "")
            return
        if self._failures:
            self._note(now, failed=False)

    def failed(self, now: float, why: str = "") -> None:
        if self._probing:
            self._open_for_s = min(self._open_for_s * 2, LONGEST_OPEN_S)
            self._open(now, why)
            return
        self._in_a_row += 1
        self._note(now, failed=True)
        many = len(self._recent) >= LEAST_IN_WINDOW and self._failures * 2 >= len(self._recent)
        if self.open_until == 0.0 and (self._in_a_row >= FAILURES_IN_A_ROW or many):
            self._open(now, why)

    def _open(self, now: float, why: str) -> None:
        self.open_until = now + self._open_for_s
        self._probing = False
        self._in_a_row = 0
        self._recent.clear()
        self._failures = 0
        if self._tell is not None:
            self._tell(self, why)

    def _note(self, now: float, *, failed: bool) -> None:
        self._recent.append((now, failed))
        self._failures += failed
        while self._recent and self._recent[0][0] < now - WINDOW_S:
            self._failures -= self._recent.popleft()[1]


class Speed:
    """Smoothed first-token time and output rate of a target, and how many requests it serves right now."""

    __slots__ = ("first_tokens", "in_flight", "tokens_per_s", "ttft_s")

    def __init__(self) -> None:
        self.in_flight = 0
        self.ttft_s: float | None = None
        self.tokens_per_s: float | None = None
        self.first_tokens: deque[float] | None = None
        """The latest first-token times, kept from when somebody first asks for them."""

    def note(self, ttft_s: float, output_tokens: int, duration_s: float) -> None:
        if self.first_tokens is not None:
            self.first_tokens.append(ttft_s)
        self.ttft_s = _smoothed(self.ttft_s, ttft_s)
        if output_tokens > 1 and duration_s > 0:
            self.tokens_per_s = _smoothed(self.tokens_per_s, output_tokens / duration_s)


def _smoothed(old: float | None, new: float) -> float:
    return new if old is None else old + _SMOOTHING * (new - old)


class OutOfUse(msgspec.Struct, frozen=True):
    """A whole target that gets no work: its connection does not answer probes, or a person holds it open.

    `until` is monotonic, infinite where only a reset ends it. `reason` is one of `routing.filters.REASONS`.
    """

    reason: str
    until: float


Tell = Callable[[int, int, Breaker, str], None]
"""Target id, credential id, the breaker that opened or closed, and why."""


class Health:
    """Of all targets, as far as this process knows. Times are monotonic."""

    def __init__(self, tell: Tell | None = None) -> None:
        self._tell = tell
        self.out_of_use: dict[int, OutOfUse] = {}
        """By target id. Replaced as a whole."""
        self._breakers: dict[tuple[int, int], Breaker] = {}
        self._skip_until: dict[tuple[int, int], float] = {}
        self._speeds: dict[int, Speed] = {}

    def speed(self, target_id: int) -> Speed:
        speed = self._speeds.get(target_id)
        if speed is None:
            speed = self._speeds[target_id] = Speed()
        return speed

    def breaker(self, target_id: int, credential_id: int) -> Breaker:
        key = (target_id, credential_id)
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = Breaker(self._teller(key))
        return breaker

    def find_breaker(self, target_id: int, credential_id: int) -> Breaker | None:
        return self._breakers.get((target_id, credential_id))

    def _teller(self, key: tuple[int, int]) -> Callable[[Breaker, str], None] | None:
        tell = self._tell
        return None if tell is None else lambda breaker, why: tell(*key, breaker, why)

    def cool_down(self, target_id: int, credential_id: int, now: float, seconds: float | None) -> None:
        """After a 429: skip this key at this target until the upstream's own time has passed."""
        self._skip_until[target_id, credential_id] = now + (DEFAULT_COOLDOWN_S if seconds is None else seconds)

    def park(self, target_id: int, credential_id: int, now: float) -> None:
        """After a 401 or 403: skip this key for a while; storing it as parked is the wiring's business."""
        self._skip_until[target_id, credential_id] = now + PARK_S

    def unpark(self, credential_id: int) -> None:
        """The vendor takes this key again."""
        for pair in [pair for pair in self._skip_until if pair[1] == credential_id]:
            del self._skip_until[pair]

    def skipped_until(self, target_id: int, credential_id: int, now: float) -> float | None:
        """When this pair may be used again, or None if it may be now. An open breaker counts too."""
        if self.out_of_use and (out := self.out_of_use.get(target_id)) is not None and out.until > now:
            return out.until
        pair = (target_id, credential_id)
        until = self._skip_until.get(pair, 0.0) if self._skip_until else 0.0
        breaker = self._breakers.get(pair)
        if breaker is not None and breaker.open_until and not breaker.allows(now):
            return max(until, breaker.open_until, now)
        return until if until > now else None

    def reason_out_of_use(self, target_id: int, now: float) -> str | None:
        out = self.out_of_use.get(target_id)
        return out.reason if out is not None and out.until > now else None

    def is_cooling(self, target_id: int, credential_id: int, now: float) -> bool:
        return self._skip_until.get((target_id, credential_id), 0.0) > now


def weighted_key(weight: float) -> float:
    """A random sort key: sorting by it draws without replacement, in proportion to the weights."""
    return -log(1.0 - random.random()) / weight if weight > 0 else float("inf")  # noqa: S311  not a secret
