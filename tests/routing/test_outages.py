"""PostgreSQL goes and comes back, Redis goes and comes back: who is served meanwhile, and who is told to wait."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import psycopg
import pytest

from accounts import events
from accounts.channel import CHANNEL
from accounts.keys import revoke_key
from console.embedded.postgres import postgres
from routing.listener import RETRY_S
from tests.ownredis import BACK_WITHIN_S, OwnRedis, eventually
from tests.routing.conftest import allow_of
from tests.stack import GatewayProcess

PROJECT = Path(__file__).resolve().parents[2]
MODEL = "sim-chat"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Are you there?"}]}
URL = "/v1/chat/completions"
STALE_S = 6.0
"""Shorter than the shipped minute, and long enough to ask a few things before it is over."""
REVOKED_WITHIN_S = 5.0


@dataclass
class Elsewhere:
    """A gateway on engines of its own. PostgreSQL runs in `postgres_folder` while `running()` is open."""

    postgres_folder: Path
    redis: OwnRedis
    gateway: GatewayProcess
    tenants: list[dict]

    @contextmanager
    def running(self) -> Iterator[str]:
        with postgres(self.postgres_folder, durable=False) as engine:
            yield engine.url

    def ask(self, tenant: int = 0, **body: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tenants[tenant]['api_key']}"}
        return httpx.post(self.gateway.url + URL, json=BODY | body, headers=headers, timeout=30)

    def ready(self) -> tuple[int, dict]:
        response = httpx.get(f"{self.gateway.url}/health/ready", timeout=30)
        return response.status_code, response.json()


@pytest.fixture
def postgres_folder() -> Iterator[Path]:
    """A short path that PostgreSQL's user may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="shareai-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def tenants_at(database_url: str, redis_url: str, upstreams) -> list[dict]:
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "EGRESS_ALLOW": allow_of(upstreams),
    }
    command = [sys.executable, "-m", "tests.routing.elsewhere", upstreams.a.base_url, MODEL]
    made = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def test_postgresql_away(upstreams, own_redis, postgres_folder, tmp_path):
    with ExitStack() as first_life, ExitStack() as serving:
        database_url = first_life.enter_context(postgres(postgres_folder, durable=False)).url
        tenants = tenants_at(database_url, own_redis.url, upstreams)
        gateway = GatewayProcess(
            tmp_path,
            egress_allow=allow_of(upstreams),
            DATABASE_URL=database_url,
            REDIS_URL=own_redis.url,
            AUTHORITY_STALE_S=str(STALE_S),
        )
        gateway.start()
        serving.callback(gateway.stop)
        there = Elsewhere(postgres_folder, own_redis, gateway, tenants)
        assert there.ask().status_code == 200
        eventually(lambda: own_redis.listeners == 1, BACK_WITHIN_S)

        first_life.close()
        served = _assert_known_keys_are_served_and_others_told_to_wait(there)
        own_redis.client.publish(CHANNEL, str(tenants[0]["org_id"]))
        eventually(lambda: there.ask().status_code == 503, STALE_S + BACK_WITHIN_S)
        assert there.ask().json()["error"]["code"] == "temporarily_unavailable"

        with there.running():
            eventually(lambda: there.ask().status_code == 200, BACK_WITHIN_S)
            assert there.ask(1).status_code == 200
            assert there.ready() == (200, {"status": "ready"})
            eventually(lambda: own_redis.listeners == 1, BACK_WITHIN_S)
            eventually(lambda: served <= _recorded(database_url), BACK_WITHIN_S)
            serving.close()


def _assert_known_keys_are_served_and_others_told_to_wait(there: Elsewhere) -> set[str]:
    """Returns: the ids of the requests that were served."""
    whole, stream = there.ask(), there.ask(stream=True)
    assert (whole.status_code, stream.status_code) == (200, 200)
    assert stream.content.endswith(b"data: [DONE]\n\n")
    unknown = there.ask(1)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (503, "temporarily_unavailable")
    assert int(unknown.headers["retry-after-ms"]) > 0
    assert there.ready() == (503, {"status": "not ready", "missing": ["postgresql"]})
    assert httpx.get(f"{there.gateway.url}/health/live").status_code == 200
    nonsense = httpx.post(there.gateway.url + URL, json=BODY, headers={"Authorization": "Bearer sk-sai-nonsense"})
    assert nonsense.status_code == 401
    return {whole.headers["x-request-id"], stream.headers["x-request-id"]}


def _recorded(database_url: str) -> set[str]:
    with psycopg.connect(database_url) as connection:
        return {request_id for (request_id,) in connection.execute("SELECT request_id FROM metering_usage")}


@pytest.fixture
def without_redis(tenant, own_redis, upstreams, tmp_path, settings, monkeypatch) -> Iterator[GatewayProcess]:
    """A gateway whose Redis was killed while it served; changes are published to nobody."""
    tenant.connect(upstreams.a.base_url, [MODEL])
    settings.REDIS_URL = own_redis.url
    events.client.cache_clear()
    gateway = GatewayProcess(tmp_path, egress_allow=allow_of(upstreams), REDIS_URL=own_redis.url)
    gateway.start()
    eventually(lambda: own_redis.listeners == 1, BACK_WITHIN_S)
    own_redis.kill()
    yield gateway
    gateway.stop()
    events.client.cache_clear()


def test_redis_away(without_redis, tenant, own_redis):
    gateway = without_redis
    key, plain = tenant.new_key()
    headers = {"Authorization": f"Bearer {plain}"}

    def status(**body: object) -> int:
        return httpx.post(gateway.url + URL, json=BODY | body, headers=headers, timeout=30).status_code

    assert (status(), status(stream=True)) == (200, 200)
    assert httpx.get(f"{gateway.url}/health/ready").status_code == 200
    revoke_key(key, tenant.actor)
    eventually(lambda: status() == 401, REVOKED_WITHIN_S)

    own_redis.start()
    eventually(lambda: own_redis.listeners == 1, RETRY_S + BACK_WITHIN_S)


def test_redis_away_ends_the_open_streams_of_a_revoked_key_too(without_redis, tenant, upstreams):
    upstreams.a.fail("endless-tokens")
    key, plain = tenant.new_key()
    headers = {"Authorization": f"Bearer {plain}"}
    body = BODY | {"stream": True}
    with httpx.stream("POST", without_redis.url + URL, json=body, headers=headers, timeout=30) as response:
        parts = response.iter_bytes()
        next(parts)
        revoke_key(key, tenant.actor)
        rest = b"".join(parts)
    last = [line for line in rest.split(b"\n") if line.startswith(b"data: ")][-1]
    assert orjson.loads(last[6:])["error"]["code"] == "key_revoked"
