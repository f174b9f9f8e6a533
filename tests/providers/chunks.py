"""Bytes cut anywhere, as a network cuts them."""

from __future__ import annotations

from itertools import pairwise

from providers.adapters.base import StreamDecoder


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a != b]


def fed(decoder: StreamDecoder, *chunks: bytes) -> bytes:
    return b"".join(decoder.feed(chunk) for chunk in chunks)
