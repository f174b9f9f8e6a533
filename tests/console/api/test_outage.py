"""PostgreSQL away: a truthful 503, whoever asks and wherever it is noticed, and all well again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.db import connection

from accounts.authentication import MANAGE
from tests.metering.outage import Wire
from tests.stack import GatewayProcess, Tenant, make_tenant


@pytest.fixture
def wire() -> Iterator[Wire]:
    database = connection.settings_dict
    port = int(database["PORT"] or 5432)
    host = database["HOST"] or "/tmp"
    wire = Wire(f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port))
    yield wire
    wire.close()


@pytest.fixture
def server(transactional_db, wire: Wire, tmp_path: Path) -> Iterator[GatewayProcess]:
    database = connection.settings_dict
    password = f":{database['PASSWORD']}" if database["PASSWORD"] else ""
    url = f"postgresql://{database['USER']}{password}@127.0.0.1:{wire.port}/{database['NAME']}"
    process = GatewayProcess(tmp_path, DATABASE_URL=url, DATABASE_POOL_WAIT_S="0.5").start()
    yield process
    process.stop()


@pytest.fixture
def tenant(transactional_db) -> Tenant:
    return make_tenant()


@pytest.fixture(params=["key", "session"])
def asker(request, server: GatewayProcess, tenant: Tenant, client) -> Iterator[httpx.Client]:
    if request.param == "key":
        plain = tenant.new_key(scopes=[MANAGE], created_by=None)[1]
        who = {"headers": {"Authorization": f"Bearer {plain}"}}
    else:
        client.force_login(tenant.owner)
        who = {"cookies": {"sessionid": client.cookies["sessionid"].value}}
    with httpx.Client(base_url=server.url, timeout=30, **who) as asker:
        yield asker


def test_it_is_a_refusal_in_the_usual_shape_that_says_when_to_come_again(asker, wire):
    assert asker.get("/api/v1/organization").status_code == 200
    wire.cut()
    for path in ("organization", "keys", "usage", "nothing"):
        answer = asker.get(f"/api/v1/{path}")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (503, "temporarily_unavailable", None)
        assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("2", "true")
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.headers["cache-control"] == "no-store"
    wire.mend()
    assert asker.get("/api/v1/organization").status_code == 200


def test_a_page_says_so_to_people(server, wire, client, tenant):
    client.force_login(tenant.owner)
    cookies = {"sessionid": client.cookies["sessionid"].value}
    with httpx.Client(base_url=server.url, cookies=cookies, timeout=30) as browser:
        wire.cut()
        answer = browser.get("/keys")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "The database cannot be reached" in answer.text
        wire.mend()
        assert browser.get("/keys").status_code == 200
