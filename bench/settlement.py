"""How many usage rows a second go from the journal into PostgreSQL, each charged: `python -m bench.settlement`.

Starts an embedded PostgreSQL of its own, as safe from power failure as in production. Writes a journal of 200,000
requests of 40 organisations (one of them has half of all) to the platform's connections, paid from slices that eight
processes had leased, then ships it with one recorder and with two, as in production. The clock runs from the moment
at which running recorders find the files. CPU time is told as well, for it says the same on a busy machine.

With `--first` recorders and PostgreSQL get the cores before everybody else, as on a machine that does nothing else;
Linux wants a privileged user for that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from bench.processes import cpu_nanos, tree
from bench.progress import say
from common.ids import new_request_id
from metering.usage import AttemptRecord, UsageRecord

ROWS = 200_000
ORGANISATIONS = 40
FILES = 8
LESSEES = [UUID(int=file + 1) for file in range(FILES)]
COST_NANOS = 2_400_000
TARGET = 1
FIRST = "--first"


def write_journal(directory: Path, wallets: Mapping[int, int]) -> None:
    """As processes left it that died: a recorder adopts the files. Args: wallets: by organisation."""
    directory.mkdir(parents=True)
    for file, lessee in enumerate(LESSEES):
        lines = (msgspec.json.encode(_record(number, wallets, lessee)) + b"\n" for number in range(ROWS // FILES))
        (directory / f"{file}-dead-000000.journal").write_bytes(b"".join(lines))


def _record(number: int, wallets: Mapping[int, int], lessee: UUID) -> UsageRecord:
    org_id = 1 if number % 2 else 1 + number % ORGANISATIONS
    attempt = AttemptRecord("vendor/fast", TARGET, "cred_1", "ok", 200, 1, 230)
    return UsageRecord(
        request_id=new_request_id(), started_at=datetime.now(UTC).isoformat(), org_id=org_id, key_id=org_id,
        user_id=org_id, endpoint="chat/completions", model="fast", status=200, usage_source="reported",
        billing_reason="completed", target="vendor/fast", target_id=TARGET, stream=True, finish_reason="stop",
        input_tokens=1200, cached_tokens=200, output_tokens=345, cost_nanos=COST_NANOS, price_version=1,
        attempts=(attempt,), attempt_count=1, duration_ms=230, ttft_ms=46, overhead_us=190,
        user_agent="OpenAI/Python 1.99", lessee=str(lessee), charges=((wallets[org_id], COST_NANOS),),
    )  # fmt: skip


def prepare() -> dict[int, int]:
    """Organisations with money, of which processes have leased a part, and a price in the book.

    Returns: the accounts, by organisation.
    """
    from django.db import connection, transaction

    from accounts.models import Organization
    from ledger import kinds, leases
    from ledger.chart import ensure_account
    from ledger.drafts import Draft
    from ledger.transfers import post

    promo = ensure_account(kinds.PROMO)
    wallets = {}
    for number in range(1, ORGANISATIONS + 1):
        Organization.objects.create(pk=number, public_id=f"org_{number}", name=f"O{number}", slug=f"o{number}")
        wallet = ensure_account(kinds.WALLET, Organization(pk=number))
        post(Draft(f"topup:{number}", "topup", {promo.pk: -(10**15), wallet.pk: 10**15}))
        wallets[number] = wallet.pk
    with transaction.atomic(), connection.cursor() as cursor:
        for lessee in LESSEES:
            leases.begin(cursor.cursor, lessee)
            for account in wallets.values():
                leases.lease(cursor.cursor, lessee, account, wanted=10**13, at_least=1)
        cursor.execute(
            "INSERT INTO billing_priceversion (target_id, version, input_nanos, cached_input_nanos, output_nanos,"
            " request_nanos) VALUES (%s, 1, 1000000000, 100000000, 4000000000, 0)",
            [TARGET],
        )
    return wallets


@dataclass(frozen=True, slots=True)
class Shipped:
    rows_per_s: float
    recorder_us: float
    postgres_us: float

    def __str__(self) -> str:
        cpu = f"CPU per row {self.recorder_us:.0f} µs of recorders and {self.postgres_us:.0f} of PostgreSQL"
        return f"{self.rows_per_s:,.0f} rows/s; {cpu}"


def ship(directory: Path, recorders: int, postgres_pid: int, wallets: Mapping[int, int]) -> Shipped:
    waiting = directory.with_suffix(".waiting")
    write_journal(waiting, wallets)
    directory.mkdir()
    command = [sys.executable, "-m", "bench.settlement", str(directory)]
    with ExitStack() as stack:
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(recorders)]
        for worker in workers:
            stack.callback(_end, worker)
            assert worker.stdout is not None
            worker.stdout.readline()
        pids = [worker.pid for worker in workers]
        if FIRST in sys.argv:
            stack.enter_context(_first([*pids, postgres_pid]))
        before, postgres_before, began_s = cpu_nanos(pids), cpu_nanos([postgres_pid]), time.monotonic()
        for path in waiting.iterdir():
            path.rename(directory / path.name)
        while any(directory.glob("*dead*.journal")):
            time.sleep(0.01)
        took_s = time.monotonic() - began_s
        used, of_postgres = cpu_nanos(pids) - before, cpu_nanos([postgres_pid]) - postgres_before
        return Shipped(ROWS / took_s, used / ROWS / 1000, of_postgres / ROWS / 1000)


@contextmanager
def _first(pids: Sequence[int]) -> Iterator[None]:
    """Until the end of the context the processes, and those that they start, run before those of others."""
    _schedule(tree(pids), os.SCHED_RR, 1)
    try:
        yield
    finally:
        _schedule(tree(pids), os.SCHED_OTHER, 0)


def _schedule(pids: Iterable[int], policy: int, priority: int) -> None:
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            for task in os.listdir(f"/proc/{pid}/task"):
                os.sched_setscheduler(int(task), policy, os.sched_param(priority))


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()


def work(directory: Path) -> None:
    """One process that records and settles, until it is killed."""
    from billing.settlement import settler
    from metering import wiring
    from metering.journal import Journal
    from metering.recorder import Recorder

    hooks = [settler()] if os.environ.get("BENCH_SETTLES", "yes") == "yes" else []
    Recorder(Journal(directory), wiring.conninfo(), on_batch=hooks, look_around_every_s=0.1).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(600)


def main() -> None:
    import django
    from django.core.management import call_command

    from console.embedded.postgres import postgres
    from console.embedded.redis import redis

    with tempfile.TemporaryDirectory(prefix="shareai-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with postgres(folder / "postgres") as engine, redis(folder / "redis") as news:
            os.environ |= {
                "DATABASE_URL": engine.url,
                "REDIS_URL": news.url,
                "SECRET_KEY": "bench",
                "DJANGO_SETTINGS_MODULE": "console.settings",
            }
            django.setup()
            call_command("migrate", verbosity=0)
            from ledger.invariants import reconcile

            wallets = prepare()
            for settles in ("yes", "no"):
                if settles == "no":
                    say(f"findings of reconcile: {len(reconcile())}")
                for recorders in (1, 2):
                    os.environ["BENCH_SETTLES"] = settles
                    shipped = ship(folder / f"{settles}-{recorders}", recorders, engine.process.pid, wallets)
                    say(f"settling: {settles}, recorders: {recorders}: {shipped}")


if __name__ == "__main__":
    if sys.argv[1:] not in ([], [FIRST]):
        import django

        django.setup()
        work(Path(sys.argv[1]))
    else:
        main()
