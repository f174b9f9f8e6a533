"""Bodies that an upstream compressed although it was asked not to: inflated, within bounds."""

from __future__ import annotations

import zlib

from providers.failures import Kind, UpstreamFailure

_MOST_GROWTH = 100
"""A compressed answer may grow by this factor; beyond it is an attack or a fault."""


class Inflater:
    def __init__(self, encoding: str) -> None:
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32 if encoding == "gzip" else zlib.MAX_WBITS)
        self._taken = self._given = 0

    def feed(self, data: bytes) -> bytes:
        """Raises: UpstreamFailure: MALFORMED or TOO_LARGE."""
        self._taken += len(data)
        room = self._taken * _MOST_GROWTH - self._given
        try:
            inflated = self._inflate.decompress(data, max(room, 1))
        except zlib.error as error:
            raise UpstreamFailure(Kind.MALFORMED, "a compressed body that does not inflate") from error
        self._given += len(inflated)
        if self._inflate.unconsumed_tail:
            raise UpstreamFailure(Kind.TOO_LARGE, "a compressed body that grows beyond bounds")
        return inflated


def inflater(encoding: str) -> Inflater | None:
    """Raises: UpstreamFailure: an encoding that this side does not know."""
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "deflate"):
        return Inflater(encoding)
    raise UpstreamFailure(Kind.MALFORMED, "a content encoding that was not asked for")
