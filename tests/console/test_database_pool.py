"""The pool of a web process: how many connections a crowd takes, and what a restart of PostgreSQL costs it."""

from __future__ import annotations

import asyncio
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from console.embedded.postgres import postgres
from tests.stack import GatewayProcess, database_url, make_tenant

SIZE = 4
APART = 2
"""Connections of the data plane, which are not the pool's: one for snapshots, one that may be closing."""
CROWD = 300
PATIENT_S = 120
WAIT_S = 20


class Web:
    """One gateway process on the tests' database, whose connections can be told from everybody else's."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.name = f"web-{uuid4().hex[:12]}"
        self.url_of_database = database_url()
        url = f"{self.url_of_database}{'&' if '?' in self.url_of_database else '?'}application_name={self.name}"
        self.process = GatewayProcess(folder, DATABASE_URL=url, DATABASE_POOL_SIZE=str(SIZE), **environment)

    @property
    def url(self) -> str:
        return self.process.url

    def cookies(self) -> dict[str, str]:
        client = Client()
        client.force_login(make_tenant().owner)
        return {"sessionid": client.cookies["sessionid"].value}

    @contextmanager
    def most_connections(self) -> Iterator[list[int]]:
        """Yields a list that holds, afterwards, every count of open connections that was seen."""
        seen: list[int] = []
        over = threading.Event()

        def watch() -> None:
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
            with psycopg.connect(self.url_of_database, autocommit=True) as connection:
                while not over.wait(0.02):
                    seen.append(connection.execute(query, [self.name]).fetchone()[0])

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield seen
        finally:
            over.set()
            watcher.join()


@pytest.fixture
def web(django_db_setup, django_db_blocker, tmp_path) -> Iterator[Web]:
    with django_db_blocker.unblock():
        web = Web(tmp_path, DATABASE_POOL_WAIT_S=str(PATIENT_S))
        web.process.start()
        yield web
        web.process.stop()


async def statuses(url: str, cookies: dict[str, str], count: int) -> list[int]:
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(cookies=cookies, timeout=PATIENT_S, limits=limits) as client:
        answers = await asyncio.gather(*(client.get(url) for _ in range(count)))
    return [answer.status_code for answer in answers]


def test_a_crowd_shares_the_pool(web):
    with web.most_connections() as seen:
        answered = asyncio.run(statuses(f"{web.url}/keys", web.cookies(), CROWD))
    assert answered == [200] * CROWD
    assert 1 <= max(seen) <= SIZE + APART


def test_open_streams_of_events_hold_none(web):
    async def beside_streams(cookies: dict[str, str]) -> list[int]:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(httpx.AsyncClient(cookies=cookies, timeout=WAIT_S))

            async def open_stream() -> AsyncIterator[str]:
                stream = client.stream("GET", f"{web.url}/live?topics=usage,keys")
                lines = (await stack.enter_async_context(stream)).aiter_lines()
                assert await anext(lines) == "retry: 3000"
                return lines

            kept = await asyncio.gather(*(open_stream() for _ in range(SIZE * 5)))
            answered = await statuses(f"{web.url}/keys", cookies, SIZE)
            assert len(kept) == SIZE * 5  # a stream that nobody refers to would be closed
            return answered

    assert asyncio.run(beside_streams(web.cookies())) == [200] * SIZE


def test_a_restart_of_postgresql_is_not_noticed(folder, tmp_path):
    wanted = {"DATABASE_POOL_SIZE": str(SIZE), "DATABASE_POOL_WAIT_S": str(PATIENT_S)}
    stranger = {"sessionid": "of-nobody-but-looked-up-in-the-database"}
    with ExitStack() as first_life, ExitStack() as serving:
        url = first_life.enter_context(postgres(folder, durable=False)).url
        command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(command, cwd=settings.BASE_DIR, env={**os.environ, "DATABASE_URL": url}, check=True)
        web = GatewayProcess(tmp_path, DATABASE_URL=url, **wanted)
        web.start()
        serving.callback(web.stop)
        page = f"{web.url}/accounts/login/"
        assert asyncio.run(statuses(page, stranger, 2 * SIZE)) == [200] * (2 * SIZE)
        first_life.close()
        with postgres(folder, durable=False):
            assert asyncio.run(statuses(page, stranger, 2 * SIZE)) == [200] * (2 * SIZE)
            serving.close()


def test_commands_and_workers_connect_by_themselves():
    """A pool that is open when a process forks would give both sides the same connections."""
    assert "pool" not in settings.DATABASES["default"]["OPTIONS"]


@pytest.mark.parametrize("size", ["0", "-1", "many"])
def test_a_pool_has_a_connection_at_least(monkeypatch, size):
    monkeypatch.setenv("DATABASE_POOL_SIZE", size)
    with pytest.raises(ImproperlyConfigured, match="DATABASE_POOL_SIZE"):
        runpy.run_path(str(settings.BASE_DIR / "console" / "settings.py"))
