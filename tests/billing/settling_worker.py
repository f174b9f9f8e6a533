"""Appends sold usage as fast as it can, records and settles it meanwhile, until it is killed; started by the tests.
One whose name begins with "a" brings all of it in by COPY.

python -m tests.billing.settling_worker <journal> <name> <organisation> <target> <conninfo>
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path


def work(directory: Path, name: str, org_id: int, target_id: int, conninfo: str) -> None:
    from billing.settlement import Settler
    from billing.terms import Terms
    from metering import copying
    from metering.journal import Journal
    from metering.recorder import Recorder
    from tests.metering.records import usage_record

    if name.startswith("a"):
        copying.AT_LEAST = 1
    journal = Journal(directory, rotate_bytes=64 * 1024)
    settler = Settler(Terms(margin_ppm=0, owner_share_ppm=700_000))
    Recorder(journal, conninfo, on_batch=[settler], ship_every_s=0.01, look_around_every_s=0.05).start()
    used = {"org_id": org_id, "target_id": target_id, "price_version": 1, "billing_reason": "completed"}
    used |= {"input_tokens": 1000, "cached_tokens": 200, "output_tokens": 500}
    number = 0
    while True:
        journal.append(usage_record(f"{name}-{number}", started_at=datetime.now(UTC).isoformat(), **used))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django

    django.setup()  # what machines earn by is read from models
    directory, name, org_id, target_id, conninfo = sys.argv[1:]
    work(Path(directory), name, int(org_id), int(target_id), conninfo)
