"""Processes are killed at random under load: gateways, Celery, Redis, PostgreSQL, machines. The money is right.

SHAREAI_CHAOS_S says for how long; an hour is 3600.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.payments import connect
from demo.payments.state import no_fault
from tests.billing.payees import TARGETS_FROM
from tests.chaos.callers import COST_NANOS, KINDS, Told, ask_for_payout, buy_until, call
from tests.chaos.servers import PROJECT, Celery, Database
from tests.chaos.world import ASKING, BUDGET_USD, GIVEN_USD, MACHINES_OWNER, MODELS, MONTHLY, RIPENING, SHARED
from tests.fakes.payments import KEY, SECRET, PaymentDouble
from tests.fakes.upstream import FaultUpstream, Manners
from tests.nodes_e2e.machines import Machine
from tests.ownredis import OwnRedis
from tests.stack import GatewayProcess

LASTS_S = float(os.environ.get("SHAREAI_CHAOS_S", "180"))
CALLERS, WORKERS = 200, 3
EVERY_S = 6.0
SLOWLY = Manners(first_token_s=3.0, token_interval_s=0.3)
PACE_S = 6.0
"""So long takes an answer: two hundred wait for theirs at any moment, and the machine is mostly idle."""
DRAINED_WITHIN_S = 180.0
"""What a killed process had leased of a budget is free after a minute, and the machine is busy."""
CHARGES = f"billing_charge WHERE target_id > -{TARGETS_FROM}"
"""Those of the calls; what owners earned before is of machines that are made up, with numbers beyond."""
DISORDER_S, DOUBLES = 3.0, 0.5
"""Of webhooks: a half come twice, and each when it likes."""
OWNERS_EACH = 6
NANOS, CENT_NANOS = 10**9, 10**7
PAYMENT_FAULTS = ("", "", "cut", "500")


@dataclass
class World:
    """All that runs, and the environment of it."""

    database: Database
    redis: OwnRedis
    celery: Celery
    gateway: GatewayProcess
    payments: PaymentDouble
    upstream: FaultUpstream
    machine: Machine
    environment: dict[str, str]
    made: dict[str, Any]
    payees: list[tuple[str, str, int]]

    def tell(self, verb: str) -> dict[str, Any]:
        return told_by(self.environment, verb)

    def restart_redis(self) -> None:
        self.redis.kill()
        self.redis.start()

    def restart_database(self) -> None:
        self.database.stop_at_once()
        self.database.start()

    def restart(self, name: str) -> None:
        self.celery.kill(name)
        self.celery.start(name)

    def restart_machine(self) -> None:
        self.machine.kill()
        self.machine.start()

    def victims(self) -> dict[str, Callable[[], object]]:
        return {
            "gateway": lambda: os.kill(random.choice(self.gateway.worker_pids), signal.SIGKILL),
            "redis": self.restart_redis,
            "postgresql": self.restart_database,
            "worker": lambda: self.restart("worker"),
            "task": self.celery.kill_child,
            "beat": lambda: self.restart("beat"),
            "machine": self.restart_machine,
        }


def done_by(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def told_by(environment: dict[str, str], verb: str, **told: Any) -> dict[str, Any]:
    """What `world` says last; before it come the e-mails that it sends."""
    return json.loads(done_by(environment, "-m", "tests.chaos.world", verb, json.dumps(told)).splitlines()[-1])


@pytest.fixture
def database() -> Iterator[Database]:
    folder = Path(tempfile.mkdtemp(prefix="shareai-"))
    folder.chmod(0o711)
    made = Database(folder)
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def redis() -> Iterator[OwnRedis]:
    with OwnRedis() as own:
        yield own


@pytest.fixture
def payments() -> Iterator[PaymentDouble]:
    chance = random.Random()
    with PaymentDouble() as double:
        double.state.faults = lambda path, given: chance.choice(PAYMENT_FAULTS) if path == "transfers" else ""
        yield double


@pytest.fixture
def upstream() -> Iterator[FaultUpstream]:
    with FaultUpstream(name="A", models=MODELS, manners=SLOWLY) as server:
        yield server


@pytest.fixture
def machine_server() -> Iterator[FaultUpstream]:
    """Of models that run on somebody's machine, which tries them first; it wants no key."""
    with FaultUpstream(name="M", keys=[""], models=[SHARED]) as server:
        yield server


@pytest.fixture
def machine(tmp_path) -> Iterator[Machine]:
    box = Machine(tmp_path / "box", SHARED)
    yield box
    box.stop()


@pytest.fixture
def world(database, redis, payments, upstream, machine_server, machine, tmp_path) -> Iterator[World]:
    environment = {
        "DATABASE_URL": database.start(),
        "REDIS_URL": redis.url,
        "EGRESS_ALLOW": f"127.0.0.1:{upstream.port}",
        "DATA_DIR": str(tmp_path),
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_BASE_URL": payments.url,
        "EARNINGS_MATURITY_DAYS": "0",
        "EARNINGS_TRUST_REQUESTS": "0",
        "GATEWAY_PROCESSES": str(WORKERS),
    }
    payees = payees_at(payments)
    made = told_by(environment, "make", base_url=upstream.base_url, payees=payees)
    others = {name: value for name, value in environment.items() if name not in ("EGRESS_ALLOW", "DATA_DIR")}
    allow = environment["EGRESS_ALLOW"]
    gateway = GatewayProcess(tmp_path, egress_allow=allow, workers=WORKERS, grace_s=5, **others)
    celery = Celery(tmp_path, environment)
    try:
        gateway.start()
        payments.deliver_to(f"{gateway.url}/billing/stripe", disorder_s=DISORDER_S, doubles=DOUBLES)
        machine.enrol_with(made["machine_token"], gateway.url, machine_server.base_url)
        machine.start()
        made |= told_by(environment, "share")
        machine_server.manners = SLOWLY
        for name in ("worker", "beat"):
            celery.start(name)
        yield World(database, redis, celery, gateway, payments, upstream, machine, environment, made, payees)
    finally:
        celery.close()
        gateway.stop()


def payees_at(payments: PaymentDouble) -> list[tuple[str, str, int]]:
    """Accounts that take transfers: of each its id, how its owner is paid, and the dollars that it earned."""
    kinds = [MONTHLY, ASKING, RIPENING] * OWNERS_EACH
    accounts = [connect.create_account(payments.state, {"configuration": {"recipient": {}}}) for _ in kinds]
    for account in accounts:
        connect.set_status(payments.state, account["id"], connect.ACTIVE)
    return [(account["id"], kind, 30 + nth) for nth, (account, kind) in enumerate(zip(accounts, kinds, strict=True))]


async def kill_until(over: asyncio.Event, victims: dict[str, Callable[[], object]]) -> list[str]:
    """In an order that changes with each round. Returns: who died."""
    died, left = [], []
    while not over.is_set():
        left = left or random.sample(list(victims), len(victims))
        died.append(left.pop())
        await asyncio.to_thread(victims[died[-1]])
        await asyncio.sleep(EVERY_S)
    return died


async def chaos(world: World) -> tuple[Told, int, list[str]]:
    """Returns: what callers heard, for how many dollars credits were bought, and who died."""
    over = asyncio.Event()
    calling = asyncio.create_task(
        call(over, world.gateway, world.made["api_key"], CALLERS, PACE_S, world.made["model"])
    )
    asking = [
        asyncio.create_task(ask_for_payout(world.gateway, key, random.uniform(0, LASTS_S)))
        for key, (_, kind, _) in zip(world.made["payees"], world.payees, strict=True)
        if kind != MONTHLY
    ]
    buying = asyncio.create_task(buy_until(over, world.gateway, world.made["buyer"]))
    killing = asyncio.create_task(kill_until(over, world.victims()))
    await asyncio.sleep(LASTS_S)
    over.set()
    died = await killing
    told = await calling
    await asyncio.wait_for(asyncio.gather(*asking), DRAINED_WITHIN_S)
    return told, await asyncio.wait_for(buying, DRAINED_WITHIN_S), died


def what_is_left(world: World, answered: dict[str, int]) -> dict[str, object]:
    """What of the answers is not recorded, what of it not charged, and what is still held for requests."""
    try:
        recorded = {row[0] for row in world.database.rows("SELECT request_id FROM metering_usage")}
        charged = {row[0] for row in world.database.rows("SELECT request_id FROM billing_charge")}
        held = world.database.rows(
            "SELECT id, kind, held FROM ledger_account WHERE held <> 0 AND kind <> 'rewards_available'"
        )
    except psycopg.OperationalError as error:
        return {"database": error}
    owed = {request_id for request_id, nanos in answered.items() if nanos}
    left = {"unrecorded": answered.keys() - recorded, "uncharged": owed - charged, "held": held}
    return {name: found for name, found in left.items() if found}


def wait_until_drained(world: World, answered: dict[str, int]) -> None:
    until = time.monotonic() + DRAINED_WITHIN_S
    while left := what_is_left(world, answered):
        if time.monotonic() > until:
            journals = {str(path): path.stat().st_size for path in (world.gateway.data_dir / "journal").glob("**/*")}
            pytest.fail(f"after {DRAINED_WITHIN_S:g} s {left}; {journals}")
        time.sleep(0.2)


@pytest.mark.timeout(LASTS_S + 600)
def test_all_of_the_money_is_right_whoever_dies(world):
    told, bought_usd, died = asyncio.run(chaos(world))
    print(f"\n{told}; ${bought_usd} bought; killed: {dict(Counter(died))}")
    assert set(died) == set(world.victims())
    assert all(
        told.count(model, stream) for model, stream in [*KINDS, *((world.made["model"], n) for n in (False, True))]
    )
    wait_until_drained(world, told.answered)
    world.celery.close()
    world.payments.state.faults = no_fault
    world.payments.forget_keys()
    assert world.tell("finish") == {"open": 0, "events": 0, "unsummed": 0}
    each_request_is_settled_once(world.database, told)
    balances_are_what_was_charged(world.database, GIVEN_USD + bought_usd)
    sums_are_what_was_used(world.database)
    owners_are_paid_once(world)
    the_machine_earned_its_share(world.database)
    assert set(world.payments.deliveries.taken.values()) == {1, 2}
    done_by(world.environment, "manage.py", "reconcile")
    assert "does not hold" not in world.celery.log_path.read_text()
    assert [*world.gateway.data_dir.glob("**/*.rejected")] == []


def each_request_is_settled_once(database: Database, told: Told) -> None:
    recorded = database.rows("SELECT request_id, count(*) FROM metering_usage GROUP BY 1")
    assert {count for _, count in recorded} == {1}
    charges = database.rows(
        f"SELECT request_id, count(*), sum(charge_nanos), sum(written_off_nanos) FROM {CHARGES} GROUP BY 1"
    )
    assert {(count, written_off) for _, count, _, written_off in charges} == {(1, 0)}
    paid = {request_id: nanos for request_id, _, nanos, _ in charges}
    assert {request_id: paid.get(request_id, 0) for request_id in told.answered} == told.answered
    assert max(paid.values()) == COST_NANOS
    assert told.cut_off.isdisjoint(told.answered)


def balances_are_what_was_charged(database: Database, got_usd: int) -> None:
    ((charged,),) = database.rows(f"SELECT sum(charge_nanos) FROM {CHARGES}")
    ((used,),) = database.rows("SELECT sum(cost_nanos) FROM metering_usage")
    balances = dict(database.rows("SELECT kind, sum(balance) FROM ledger_account GROUP BY 1"))
    held = dict(database.rows("SELECT kind, sum(held) FROM ledger_account WHERE held <> 0 GROUP BY 1"))
    assert (balances["wallet"], balances["budget"]) == (got_usd * NANOS - charged, BUDGET_USD * NANOS - used)
    assert held == {}


def sums_are_what_was_used(database: Database) -> None:
    (used,) = database.rows("SELECT org_id, count(*), sum(cost_nanos) FROM metering_usage GROUP BY 1")
    (summed,) = database.rows(
        "SELECT org_id, sum(requests), sum(charged_nanos + own_nanos) FROM metering_rollup WHERE period = 'hour'"
        " GROUP BY 1"
    )
    assert used == summed


def owners_are_paid_once(world: World) -> None:
    sent = [(one["destination"], one["amount"]) for one in world.payments.state.of("transfer")]
    assert sorted(sent) == sorted((account, 100 * dollars) for account, _, dollars in world.payees)
    paid = world.database.rows("SELECT destination, cents FROM billing_payout WHERE state = 'paid'")
    assert sorted(paid) == sorted(sent)


def the_machine_earned_its_share(database: Database) -> None:
    ((paid, earned),) = database.rows(f"SELECT sum(charge_nanos), sum(owner_nanos) FROM {CHARGES} AND target_id < 0")
    assert earned * 10 == paid * 7 > 0
    ((has,),) = database.rows(
        "SELECT sum(a.balance) FROM ledger_account a JOIN accounts_organization o ON o.id = a.org_id"
        f" WHERE o.name = '{MACHINES_OWNER}' AND a.kind IN ('rewards_escrow', 'rewards_available')"
    )
    assert has == earned
