"""W3C trace context: which trace of its caller's a request belongs to, and the line that passes it on. Pure.

    traceparent: 00-<trace, 32 hex>-<span, 16 hex>-<flags, 2 hex>

What is malformed is taken for absent, as the specification wants it. `tracestate` holds what other vendors say to
each other; it is neither read nor passed on.
Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import os
import re

import msgspec

TRACEPARENT = "traceparent"

_KNOWN_FLAGS = 0x03
"""Sampled, and that the id is random; the others mean nothing yet and are sent as zero."""
_FORM = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?", re.ASCII)


class Trace(msgspec.Struct, frozen=True, gc=False):
    """A caller's trace."""

    id: str
    flags: int = 0

    def child(self) -> str:
        """A `traceparent` for somebody who is asked on its behalf: the same trace, a span of its own."""
        return f"00-{self.id}-{os.urandom(8).hex()}-{self.flags & _KNOWN_FLAGS:02x}"


def trace_in(traceparent: str) -> Trace | None:
    """None for what is malformed. Versions to come may say more at the end; this one may not."""
    found = _FORM.fullmatch(traceparent.strip(" \t"))
    if found is None or (found[1] == "00" and found[4] is not None):
        return None
    return Trace(found[2], int(found[3], 16))
