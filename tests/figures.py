"""Figures that tests come across: noted in `test-artifacts/figures.jsonl`, asserted nowhere, for machines differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

NOTES = Path(__file__).resolve().parents[1] / "test-artifacts" / "figures.jsonl"


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Notes the seconds that its body took, if it ends well."""
    began = monotonic()
    yield
    note(what, monotonic() - began)


def note(what: str, seconds: float) -> None:
    NOTES.parent.mkdir(exist_ok=True)
    line = json.dumps({"figure": what, "s": round(seconds, 3), "at": datetime.now(UTC).isoformat(timespec="seconds")})
    with NOTES.open("a") as file:
        file.write(f"{line}\n")
