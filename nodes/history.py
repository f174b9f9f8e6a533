"""The last hour of a machine's vitals, for the lines on its page. Bounded, in Redis, and gone when nobody adds to it.

    nodes:history:<node's public id>   a list of samples as JSON, the newest first

Lost with Redis, which costs a line on a page and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from nodes.reports import Gpu, Vitals

HISTORY_PREFIX = "nodes:history:"
EVERY_S = 20.0
"""So often is a sample taken, however often a machine reports."""
MOST_SAMPLES = 180
LIVES_S = 2 * 3600


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """What is drawn. Shares are from 0 to 1; None is what the machine cannot tell."""

    at_s: float
    load: float | None = None
    vram: float | None = None
    in_flight: int = 0
    queue: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sample).decode


def sample_of(vitals: Vitals | None, in_flight: int, queue: int, at_s: float) -> Sample:
    """
    Args:
        in_flight: the console's own count, which is not the machine's to say.
    """
    if vitals is None:
        return Sample(at_s, in_flight=in_flight, queue=queue)
    return Sample(at_s, load_of(vitals), vram_of(vitals.gpu), in_flight, queue)


def load_of(vitals: Vitals) -> float | None:
    """Of the busiest GPU; of the processor where no GPU tells."""
    loads = [gpu.load for gpu in vitals.gpu if gpu.load is not None]
    if loads:
        return max(loads)
    return None if vitals.cpu_load is None else min(vitals.cpu_load, 1.0)


def vram_of(gpus: Sequence[Gpu]) -> float | None:
    """The share in use of all that there is."""
    total = sum(gpu.vram_total_bytes or 0 for gpu in gpus)
    used = sum(gpu.vram_used_bytes or 0 for gpu in gpus)
    return min(used / total, 1.0) if total else None


def append(pipeline: Any, node: str, sample: Sample) -> None:
    """Args: pipeline: of redis or of redis.asyncio; it is executed by the caller."""
    key = HISTORY_PREFIX + node
    pipeline.lpush(key, _encode(sample))
    pipeline.ltrim(key, 0, MOST_SAMPLES - 1)
    pipeline.expire(key, LIVES_S)


def samples_in(values: Sequence[bytes | str]) -> list[Sample]:
    """The oldest first."""
    return [_decode(value) for value in reversed(values)]
