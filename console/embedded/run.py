"""`make run`: engines, database, demo, and then every process of ShareAI under one supervisor.

    wishes → lock → engines → prepare → supervise (web, worker, beat, the demo's upstreams, run)

Everything it starts ends with it. Everything that must survive is in the data folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from console.embedded.engine import Engine, EngineError
from console.embedded.keep import lock
from console.embedded.leftovers import end_processes
from console.embedded.postgres import postgres
from console.embedded.prepare import fingerprint, is_prepared, mark_of
from console.embedded.procfile import Begin, write_procfile
from console.embedded.redis import redis
from console.embedded.supervisor import supervise
from console.embedded.wishes import PROJECT, CannotRun, Wishes, read_wishes, require_free_port

WITH_PARENT = "--with-parent"


def main(arguments: Sequence[str]) -> int:
    """
    Args:
        arguments: `--with-parent` ends it also when the process that started it is killed, as `make` may be.

    Returns:
        the exit status; a reason for failing is one sentence on standard error.
    """
    if unknown := [word for word in arguments if word != WITH_PARENT]:
        print(f"Unknown: {' '.join(unknown)}. The environment says what is wanted: PORT, DATA_DIR.", file=sys.stderr)
        return 2
    begin = Begin(time.time(), os.getppid() if WITH_PARENT in arguments else 0)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _unwind)
    try:
        return _run(read_wishes(), begin)
    except (CannotRun, EngineError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130


def _unwind(number: int, _: object) -> None:
    """Ends what has been started so far, on the way out of the `with` blocks, where no signal interrupts."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _run(wishes: Wishes, begin: Begin) -> int:
    data_dir = _made(wishes.data_dir)
    with lock(data_dir) as unclean, ExitStack() as stack:
        if unclean and (count := end_processes(data_dir)):
            say(f"Ended {count} processes that an earlier run had left behind.")
        require_free_port(wishes.port)
        engines = [stack.enter_context(_told(name, engine)) for name, engine in _engines(wishes)]
        procfile = write_procfile(wishes, engines, begin)
        _prepare(wishes, procfile.environment)
        say("Starting the processes of ShareAI and the demo's providers.")
        return supervise(procfile)


def say(text: str) -> None:
    print(text, flush=True)


def _made(data_dir: Path) -> Path:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / "journal").mkdir(exist_ok=True)
    except OSError as error:
        raise CannotRun(f"DATA_DIR={data_dir} cannot be used: {error.strerror}.") from error
    return data_dir


def _engines(wishes: Wishes) -> list[tuple[str, AbstractContextManager[Engine]]]:
    wanted: list[tuple[str, AbstractContextManager[Engine]]] = []
    if not wishes.database_url:
        wanted.append(("PostgreSQL", postgres(wishes.data_dir / "postgres")))
    if not wishes.redis_url:
        wanted.append(("Redis", redis(wishes.data_dir / "redis")))
    return wanted


@contextmanager
def _told(name: str, engine: AbstractContextManager[Engine]) -> Iterator[Engine]:
    say(f"Starting {name}.")
    with engine as running:
        yield running
        say(f"Stopping {name}.")


def _prepare(wishes: Wishes, environment: dict[str, str]) -> None:
    """Migrates and seeds, unless this embedded cluster is known to be up to date."""
    embedded = not wishes.database_url  # of another server's database, nothing is known
    if embedded and is_prepared(wishes.data_dir, environment):
        return
    say("Bringing the database up to date and preparing the demo.")
    mark_of(wishes.data_dir).unlink(missing_ok=True)
    command = [sys.executable, "-m", "console.embedded.prepare"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, check=False)
    if done.returncode:
        raise CannotRun(f"Preparing the database failed with status {done.returncode}; the reason is above.")
    if embedded:
        mark_of(wishes.data_dir).write_text(fingerprint(environment))
