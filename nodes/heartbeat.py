"""How often a connected node is asked for a sign of life, and for how long its silence is borne."""

from __future__ import annotations

import msgspec

_BEATS = 3
"""So many may be lost before a node counts as gone."""


class Heartbeat(msgspec.Struct, frozen=True):
    every_s: int = 10
    dead_after_s: float = 30.0

    @classmethod
    def of(cls, dead_after_s: int) -> Heartbeat:
        return cls(max(dead_after_s // _BEATS, 1), float(dead_after_s))


USUAL = Heartbeat()
