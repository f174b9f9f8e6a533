"""How many usage rows a second go from the journal into PostgreSQL, each charged: `python -m bench.settlement`.

Starts an embedded PostgreSQL of its own. Writes a journal of 200,000 requests of 40 organisations (one of them has
half of all) to the platform's connections, then ships it with one recorder and with two, as in production.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.progress import say
from common.ids import new_request_id
from metering.usage import AttemptRecord, UsageRecord

ROWS = 200_000
ORGANISATIONS = 40
FILES = 8
TARGET = 1


def write_journal(directory: Path) -> None:
    """As processes left it that died: a recorder adopts the files."""
    directory.mkdir(parents=True)
    for file in range(FILES):
        lines = (msgspec.json.encode(_record(number)) + b"\n" for number in range(ROWS // FILES))
        (directory / f"{file}-dead-000000.journal").write_bytes(b"".join(lines))


def _record(number: int) -> UsageRecord:
    org_id = 1 if number % 2 else 1 + number % ORGANISATIONS
    attempt = AttemptRecord("vendor/fast", TARGET, "cred_1", "ok", 200, 1, 230)
    return UsageRecord(
        request_id=new_request_id(), started_at=datetime.now(UTC).isoformat(), org_id=org_id, key_id=org_id,
        user_id=org_id, endpoint="chat/completions", model="fast", status=200, usage_source="reported",
        billing_reason="completed", target="vendor/fast", target_id=TARGET, stream=True, finish_reason="stop",
        input_tokens=1200, cached_tokens=200, output_tokens=345, cost_nanos=2_000_000, price_version=1,
        attempts=(attempt,), attempt_count=1, duration_ms=230, ttft_ms=46, overhead_us=190, user_agent="x",
    )  # fmt: skip


def prepare() -> None:
    """Organisations with money, and a price in the book."""
    from django.db import connection

    from accounts.models import Organization
    from ledger import kinds
    from ledger.chart import ensure_account
    from ledger.drafts import Draft
    from ledger.transfers import post

    promo = ensure_account(kinds.PROMO)
    for number in range(1, ORGANISATIONS + 1):
        Organization.objects.create(pk=number, public_id=f"org_{number}", name=f"O{number}", slug=f"o{number}")
        wallet = ensure_account(kinds.WALLET, Organization(pk=number))
        post(Draft(f"topup:{number}", "topup", {promo.pk: -(10**15), wallet.pk: 10**15}))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_priceversion (target_id, version, input_nanos, cached_input_nanos, output_nanos,"
            " request_nanos) VALUES (%s, 1, 1000000000, 100000000, 4000000000, 0)",
            [TARGET],
        )


def ship(directory: Path, recorders: int) -> float:
    """Rows a second."""
    workers = [subprocess.Popen([sys.executable, "-m", "bench.settlement", str(directory)]) for _ in range(recorders)]
    began_s = time.monotonic()
    while any(directory.glob("*dead*.journal")):
        time.sleep(0.01)
    took_s = time.monotonic() - began_s
    for worker in workers:
        worker.kill()
        worker.wait()
    return ROWS / took_s


def work(directory: Path) -> None:
    """One process that records and settles, until it is killed."""
    from billing.settlement import settler
    from metering import wiring
    from metering.journal import Journal
    from metering.recorder import Recorder

    hooks = [settler()] if os.environ.get("BENCH_SETTLES", "yes") == "yes" else []
    Recorder(Journal(directory), wiring.conninfo(), on_batch=hooks, look_around_every_s=0.2).start()
    time.sleep(600)


def main() -> None:
    import django
    from django.core.management import call_command

    from console.embedded.postgres import postgres

    with tempfile.TemporaryDirectory(prefix="shareai-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with postgres(folder / "postgres") as engine:
            os.environ |= {
                "DATABASE_URL": engine.url,
                "SECRET_KEY": "bench",
                "DJANGO_SETTINGS_MODULE": "console.settings",
            }
            django.setup()
            call_command("migrate", verbosity=0)
            from ledger.invariants import reconcile

            prepare()
            for settles in ("yes", "no"):
                if settles == "no":
                    say(f"findings of reconcile: {len(reconcile())}")
                for recorders in (1, 2):
                    os.environ["BENCH_SETTLES"] = settles
                    directory = folder / f"{settles}-{recorders}"
                    write_journal(directory)
                    say(f"settling: {settles}, recorders: {recorders}: {ship(directory, recorders):,.0f} rows/s")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        import django

        django.setup()
        work(Path(sys.argv[1]))
    else:
        main()
