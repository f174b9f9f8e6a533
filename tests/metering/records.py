"""Usage records for tests, and a writer that runs as a process of its own: `python -m tests.metering.records`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from metering.journal import Journal
from metering.recorder import Recorder
from metering.usage import AttemptRecord, UsageRecord

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def usage_record(request_id: str = "req_1", **fields: Any) -> UsageRecord:
    """One ordinary streamed answer; `fields` say what is different about it."""
    attempt = AttemptRecord(
        target="sim-a/fast", target_id=3, credential="cred_1", outcome="ok", status=200, started_ms=1, duration_ms=230
    )
    ordinary: dict[str, Any] = {
        "request_id": request_id,
        "started_at": NOON.isoformat(),
        "org_id": 1,
        "key_id": 8,
        "user_id": 9,
        "endpoint": "chat/completions",
        "model": "demo/fast",
        "route": "fast",
        "target": "sim-a/fast",
        "target_id": 3,
        "status": 200,
        "usage_source": "reported",
        "billing_reason": "tokens",
        "stream": True,
        "finish_reason": "stop",
        "input_tokens": 120,
        "cached_tokens": 20,
        "output_tokens": 345,
        "cost_nanos": 123_456,
        "price_version": 4,
        "attempts": (attempt,),
        "attempt_count": 1,
        "duration_ms": 233,
        "ttft_ms": 46,
        "overhead_us": 190,
        "user_agent": "OpenAI/Python",
    }
    return UsageRecord(**ordinary | fields)


def write_for_ever(directory: Path, name: str, conninfo: str = "") -> None:
    """Appends records as fast as it can and says after each one which it was, until it is killed.

    With a `conninfo` it ships them meanwhile, as a worker of the gateway does.
    """
    journal = Journal(directory, rotate_bytes=64 * 1024)
    if conninfo:
        Recorder(journal, conninfo, ship_every_s=0.01, look_around_every_s=0.05).start()
    number = 0
    while True:
        moment = NOON + timedelta(milliseconds=number)
        journal.append(usage_record(f"{name}-{number}", started_at=moment.isoformat(), org_id=1 + number % 3))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    write_for_ever(Path(sys.argv[1]), *sys.argv[2:])
