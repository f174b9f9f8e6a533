"""Processes are killed at random under load: gateways, Redis, PostgreSQL. Afterwards every answer is paid for, once.

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
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psycopg
import pytest

from console.embedded.postgres import postgres
from tests.fakes.upstream import FaultUpstream, Manners
from tests.ownredis import OwnRedis, eventually
from tests.stack import GatewayProcess

PROJECT = Path(__file__).resolve().parents[2]
LASTS_S = float(os.environ.get("SHAREAI_CHAOS_S", "180" if os.environ.get("SHAREAI_LONG") == "1" else "6"))
CALLERS = 200 if LASTS_S > 60 else 40
EVERY_S = 1.5
DRAINED_WITHIN_S = 60.0
WORKERS, TOKENS = 3, 10
COST_NANOS = TOKENS * 100_000
MODEL, URL = "sim-chat", "/v1/chat/completions"
BODY = {"model": MODEL, "max_tokens": 20, "messages": [{"role": "user", "content": f"[[tokens:{TOKENS}]]"}]}


@dataclass
class Database:
    """A PostgreSQL that survives an immediate stop, as one in production does."""

    folder: Path
    _running: ExitStack = field(default_factory=ExitStack)

    def start(self) -> str:
        self._engine = self._running.enter_context(postgres(self.folder))
        return self._engine.url

    def stop_at_once(self) -> None:
        self._engine.process.send_signal(signal.SIGQUIT)
        self._engine.process.wait(30)
        self._running.close()

    def close(self) -> None:
        self._running.close()

    def rows(self, query: str) -> list[tuple]:
        with psycopg.connect(self._engine.url) as connection:
            return connection.execute(query).fetchall()


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
    own = OwnRedis()
    own.start()
    yield own
    own.kill()


def asked_of(environment: dict[str, str], *words: str) -> str:
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


async def ask_until(over: asyncio.Event, gateway: GatewayProcess, api_key: str, answered: list[str]) -> None:
    """One caller, who goes on whatever becomes of the last request."""
    headers = {"Authorization": f"Bearer {api_key}"}
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        while not over.is_set():
            try:
                async with session.post(gateway.url + URL, json=BODY) as response:
                    await response.json()
                    if response.status == 200:
                        answered.append(response.headers["x-request-id"])
                    else:
                        await asyncio.sleep(0.1)
            except (aiohttp.ClientError, TimeoutError, ValueError):
                await asyncio.sleep(0.1)


async def kill_until(over: asyncio.Event, gateway: GatewayProcess, redis: OwnRedis, database: Database) -> list[str]:
    """In turns, from a random one on. Returns: who died."""
    victims = ["gateway", "redis", "postgresql"]
    random.shuffle(victims)
    died = []
    while not over.is_set():
        victim = victims[len(died) % len(victims)]
        died.append(victim)
        if victim == "gateway":
            os.kill(random.choice(gateway.worker_pids), signal.SIGKILL)
        elif victim == "redis":
            redis.kill()
            await asyncio.sleep(0.3)
            await asyncio.to_thread(redis.start)
        else:
            await asyncio.to_thread(database.stop_at_once)
            await asyncio.to_thread(database.start)
        await asyncio.sleep(EVERY_S)
    return died


async def chaos(gateway: GatewayProcess, redis: OwnRedis, database: Database, api_key: str) -> tuple[list, list]:
    over, answered = asyncio.Event(), []
    callers = [asyncio.create_task(ask_until(over, gateway, api_key, answered)) for _ in range(CALLERS)]
    killing = asyncio.create_task(kill_until(over, gateway, redis, database))
    await asyncio.sleep(LASTS_S)
    over.set()
    died = await killing
    await asyncio.gather(*callers)
    return answered, died


def is_drained(database: Database, answered: list[str]) -> bool:
    """All that was answered is charged, and nothing is held."""
    try:
        charged = {row[0] for row in database.rows("SELECT request_id FROM billing_charge")}
        held = database.rows("SELECT sum(held) FROM ledger_account")[0][0]
    except psycopg.OperationalError:
        return False
    return charged.issuperset(answered) and held == 0


def test_every_answer_is_paid_for_once_whoever_dies(database, redis, tmp_path):
    url = database.start()
    with FaultUpstream(name="A", models=[MODEL], manners=Manners(first_token_s=0.02)) as upstream:
        engines = {"DATABASE_URL": url, "REDIS_URL": redis.url, "EGRESS_ALLOW": f"127.0.0.1:{upstream.port}"}
        tenant = json.loads(asked_of(engines, "-m", "tests.routing.sold_elsewhere", upstream.base_url, MODEL))
        told = {name: value for name, value in engines.items() if name != "EGRESS_ALLOW"}
        gateway = GatewayProcess(tmp_path, egress_allow=engines["EGRESS_ALLOW"], workers=WORKERS, **told)
        gateway.start()
        try:
            answered, died = asyncio.run(chaos(gateway, redis, database, tenant["api_key"]))
            eventually(lambda: is_drained(database, answered), DRAINED_WITHIN_S)
        finally:
            gateway.stop()
    assert {"gateway", "redis", "postgresql"} <= set(died)
    assert len(set(answered)) == len(answered) > 0
    charges = database.rows("SELECT request_id, count(*), sum(charge_nanos) FROM billing_charge GROUP BY 1")
    assert all(count == 1 for _, count, _ in charges)
    paid = {request_id: nanos for request_id, _, nanos in charges}
    assert {paid[request_id] for request_id in answered} == {COST_NANOS}
    ((balance,),) = database.rows("SELECT balance FROM ledger_account WHERE kind = 'wallet'")
    assert 1_000 * 10**9 - balance == sum(paid.values())
    asked_of(engines, "manage.py", "reconcile")
