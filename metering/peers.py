"""Who else serves on this host: each process holds a lock on a file, which ends with it however that ends.

So processes know of each other before they have heard of each other through Redis, and while it is away.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from metering import segments
from metering.segments import SUFFIX, Segment


class Peers:
    """Made when the process starts, closed at its end. The directory is shared by all processes of the host."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._own: Segment = segments.create(directory, f"{os.getpid()}-{secrets.token_hex(8)}")

    @property
    def name(self) -> str:
        """Of this process: its id, a dash, and what tells it from another that has the same id later."""
        return self._own.path.stem

    def count(self) -> int:
        """How many live, this one included. Those that died are forgotten."""
        return max(1, len(self.names()))

    def names(self) -> set[str]:
        for gone in segments.orphans(self.directory, {self._own.path}):
            gone.discard()
        return {path.stem for path in self.directory.glob("*" + SUFFIX)}

    def close(self) -> None:
        if not self._own.closed:
            self._own.discard()
