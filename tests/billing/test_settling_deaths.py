"""Processes that record and settle are killed in the middle of it: each answered request is settled exactly once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db.models import Sum

from billing.models import Charge
from billing.settlement import settler
from ledger.models import Account
from metering import copying, wiring
from metering.journal import Journal
from metering.models import Usage
from metering.recorder import Recorder
from tests.billing.conftest import COST
from tests.metering.conftest import eventually

PROJECT = Path(__file__).resolve().parents[2]
NAMES = ("a", "b")
KILLS = 3
LINES_EACH = 700


def worker(directory: Path, name: str, org_id: int, target_id: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "tests.billing.settling_worker",
        str(directory),
        name,
        str(org_id),
        str(target_id),
    ]
    return subprocess.Popen([*command, wiring.conninfo()], cwd=PROJECT, stdout=subprocess.PIPE)


def killed_after(process: subprocess.Popen[bytes], lines: int) -> int:
    """How many records it claimed before it was killed."""
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    process.kill()
    return lines + sum(line.endswith(b"\n") for line in process.stdout)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    yield journal
    journal.close()


def test_killed_workers_settle_each_request_once(
    transactional_db, wallet, sold, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "AT_LEAST", 1)
    directory, claimed = journal.directory, 0
    for round_ in range(KILLS):
        workers = [worker(directory, f"{name}{round_}", wallet.org_id, sold.pk) for name in NAMES]
        claimed += sum(killed_after(process, LINES_EACH) for process in workers)
    recorder = Recorder(journal, wiring.conninfo(), on_batch=[settler()], ship_every_s=0.02, look_around_every_s=0.05)
    recorder.start()
    eventually(lambda: {*directory.glob("*.journal")} == journal.own_paths(), within_s=60)
    assert recorder.stop(timeout_s=10)
    assert recorder.stats.rejected <= KILLS * len(NAMES), "more than the line that each was killed in"
    answered = Usage.objects.count()
    assert claimed <= answered <= claimed + KILLS * len(NAMES)
    assert Charge.objects.count() == answered
    paid = Charge.objects.aggregate(paid=Sum("charge_nanos") - Sum("written_off_nanos"))["paid"]
    assert Charge.objects.aggregate(all=Sum("charge_nanos"))["all"] == answered * COST
    assert Account.objects.get(pk=wallet.pk).balance == wallet.balance - paid
