"""A stream that never ends, as a process to be killed: `python -m tests.metering.checkpointing DIRECTORY`."""

from __future__ import annotations

import sys
from pathlib import Path

from metering.journal import Journal
from tests.metering.records import usage_record


def main(directory: Path) -> None:
    """After each checkpoint says how many tokens it told of."""
    journal = Journal(directory, rotate_bytes=4096)
    tokens = 0
    while True:
        tokens += 1
        journal.checkpoint(
            usage_record("req_stream", output_tokens=tokens, billing_reason="interrupted_delivered", finish_reason="")
        )
        sys.stdout.write(f"{tokens}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
