"""The last hour of a machine's vitals, for the lines on its page. Bounded, in Redis, and gone when nobody adds to it.

    nodes:history:<node's public id>   a list of samples as JSON, the newest first

A machine on which nothing happens adds next to nothing, so that thousands of them cost next to nothing. Lost with
Redis, which costs a line on a page and nothing else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import msgspec

from nodes.reports import Gpu, Vitals

HISTORY_PREFIX = "nodes:history:"
EVERY_S = 20.0
"""So often is looked, however often a machine reports."""
ANYWAY_S = 300.0
"""So long does a sample stand for what follows it; then one like it is kept all the same."""
POINTS, POINT_S = 60, 60.0
MOST_SAMPLES = 180
LIVES_S = 2 * 3600


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """What is drawn. Shares are from 0 to 1; None is what the machine cannot tell."""

    at_s: float
    load: float | None = None
    vram: float | None = None
    in_flight: int = 0
    queue: int = 0


class Diary:
    """Tells which samples are worth keeping: those that say something new, and one at times all the same."""

    def __init__(self) -> None:
        self._last: dict[str, Sample] = {}

    def wants(self, node: str, sample: Sample) -> bool:
        last = self._last.get(node)
        if last is not None and sample.at_s - last.at_s < ANYWAY_S and _same(last, sample):
            return False
        self._last[node] = sample
        return True

    def forget(self, node: str) -> None:
        self._last.pop(node, None)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sample).decode


def sample_of(vitals: Vitals | None, in_flight: int, queue: int, at_s: float) -> Sample:
    """
    Args:
        in_flight: the console's own count, which is not the machine's to say.
    """
    if vitals is None:
        return Sample(at_s, in_flight=in_flight, queue=queue)
    return Sample(at_s, _rounded(load_of(vitals)), _rounded(vram_of(vitals.gpu)), in_flight, queue)


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


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 2)


def append(pipeline: Any, node: str, sample: Sample) -> None:
    """Args: pipeline: of redis or of redis.asyncio; it is executed by the caller."""
    key = HISTORY_PREFIX + node
    pipeline.lpush(key, _encode(sample))
    pipeline.ltrim(key, 0, MOST_SAMPLES - 1)
    pipeline.expire(key, LIVES_S)


def drawn(samples: Sequence[Sample], now_s: float) -> list[Sample]:
    """One for each minute of the last hour, the oldest first: as it was last told, and empty where nobody told.

    Args:
        samples: the oldest first.
    """
    if not samples:
        return []
    moments = [now_s - (POINTS - 1 - number) * POINT_S for number in range(POINTS)]
    times = [sample.at_s for sample in samples]
    return [_at(samples, bisect_right(times, moment) - 1, moment) for moment in moments]


def _at(samples: Sequence[Sample], index: int, moment_s: float) -> Sample:
    if index < 0 or moment_s - samples[index].at_s > ANYWAY_S + EVERY_S:
        return Sample(moment_s)
    return samples[index]


def _same(one: Sample, other: Sample) -> bool:
    return msgspec.structs.replace(one, at_s=other.at_s) == other


def samples_in(values: Sequence[bytes | str]) -> list[Sample]:
    """The oldest first."""
    return [_decode(value) for value in reversed(values)]
