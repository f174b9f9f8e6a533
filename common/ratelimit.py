"""Sliding limits by GCRA, the generic cell rate algorithm, as plain arithmetic.

A bucket is one number: how far its theoretical arrival time lies ahead of now, in microseconds. It shrinks as time
passes. A unit costs window / limit; what would put the bucket further ahead than its window is refused, and can come
when the excess has passed. So `limit` units may come at once, and then one each window / limit.

`metering/limits.lua` does the same inside Redis for all processes; tests hold the two against each other.
"""

from __future__ import annotations

SLACK_US = 0.5
"""What floating point may add to a full window without a unit being refused."""


def cost_us(units: float, limit: int, window_us: int) -> float:
    return units * (window_us / limit)


def wait_us(ahead_us: float, cost_us: float, window_us: float) -> float:
    """How long until so much may come; 0 when it may now."""
    excess_us = ahead_us + cost_us - window_us
    return excess_us if excess_us > SLACK_US else 0.0


def remaining(ahead_us: float, limit: float, window_us: int) -> int:
    """How many units could come at once now."""
    left = int((window_us - ahead_us) * limit / window_us + 1e-6)
    return left if left > 0 else 0
