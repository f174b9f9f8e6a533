import os

import psycopg
import pytest
import redis

from bench.engines import engines
from bench.processes import GatewayError


def _can_connect(url: str) -> bool:
    try:
        with psycopg.connect(url):
            return True
    except psycopg.OperationalError:
        return False


def test_the_database_is_empty_and_gone_afterwards(tmp_path) -> None:
    with engines(tmp_path) as running:
        with psycopg.connect(running.database_url) as connection:
            tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (0,)
        assert running.redis_url == os.environ["REDIS_URL"]
    assert not _can_connect(running.database_url)


def test_embedded_engines_start_where_the_environment_names_none(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")
    tmp_path.chmod(0o711)
    with engines(tmp_path) as running:
        assert _can_connect(running.database_url)
        with redis.Redis.from_url(running.redis_url) as client:
            assert client.ping()
    assert not _can_connect(running.database_url)


def test_a_server_that_is_not_there_is_an_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(GatewayError, match="no engines"), engines(tmp_path):
        pass
