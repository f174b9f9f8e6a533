"""PostgreSQL and Redis for one run of the bench: those of the environment, else the embedded ones."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from bench.processes import GatewayError
from console.embedded.engine import EngineError
from console.embedded.postgres import postgres
from console.embedded.redis import redis


@dataclass(frozen=True, slots=True)
class Engines:
    database_url: str  # an empty database, dropped at the end
    redis_url: str


@contextlib.contextmanager
def engines(folder: Path) -> Iterator[Engines]:
    """Engines with a throw-away database. A Redis of the environment is used as it is.

    Args:
        folder: what embedded engines write goes here.

    Raises:
        GatewayError: an engine does not run, or gives no database.
    """
    with contextlib.ExitStack() as stack:
        try:
            server_url = os.environ.get("DATABASE_URL") or stack.enter_context(postgres(folder / "postgres")).url
            redis_url = os.environ.get("REDIS_URL") or stack.enter_context(redis(folder / "redis")).url
            database_url = stack.enter_context(_database(server_url))
        except (EngineError, psycopg.Error) as error:
            raise GatewayError(f"no engines: {error}") from error
        yield Engines(database_url, redis_url)


@contextlib.contextmanager
def _database(server_url: str) -> Iterator[str]:
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
