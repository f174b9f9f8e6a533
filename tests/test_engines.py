"""The plugin that gives every test its engines."""

from __future__ import annotations

import os

import psycopg
from redis import Redis

from tests.engines import redis_of_worker


def test_environment_names_engines_that_answer() -> None:
    assert Redis.from_url(os.environ["REDIS_URL"]).ping()
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_each_worker_has_a_redis_database_of_its_own() -> None:
    url = "redis://:word@127.0.0.1:6379/0"
    assert redis_of_worker(url, "gw0") == "redis://:word@127.0.0.1:6379/1"
    assert redis_of_worker(url, "gw7") == "redis://:word@127.0.0.1:6379/8"
    assert redis_of_worker(url, "master") == url
