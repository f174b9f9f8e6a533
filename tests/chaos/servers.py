"""What is killed: a PostgreSQL that keeps its promises over an immediate stop, and Celery."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from console.embedded.postgres import postgres
from console.embedded.procfile import ROOT_IS_FINE

PROJECT = Path(__file__).resolve().parents[2]
QUICK = [sys.executable, "-W", ROOT_IS_FINE, "-m", "celery", "--quiet", "-A", "tests.chaos.quick"]


@dataclass
class Database:
    folder: Path
    _running: ExitStack = field(default_factory=ExitStack)

    def start(self) -> str:
        self._engine = self._running.enter_context(postgres(self.folder))
        return self._engine.url

    def stop_at_once(self) -> None:
        self._engine.process.send_signal(signal.SIGQUIT)
        self._engine.process.wait(30)
        self._running.close()

    def close(self) -> None:
        self._running.close()

    def rows(self, query: str) -> list[tuple]:
        with psycopg.connect(self._engine.url) as connection:
            return connection.execute(query).fetchall()


class Celery:
    """A worker of two processes and a beat."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.log_path = folder / "celery.log"
        self._environment = os.environ | environment
        self._commands = {
            "worker": ["worker", "--concurrency=2", "--loglevel=WARNING", "--without-gossip", "--without-mingle"],
            "beat": ["beat", "--loglevel=WARNING", "--pidfile=", f"--schedule={folder / 'beat'}"],
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        with self.log_path.open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*QUICK, *self._commands[name]],
                cwd=PROJECT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """With all that it started, as when its machine is lost."""
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

    def kill_child(self) -> bool:
        """One of those that run tasks; the worker notices. Returns: whether there was one."""
        children = psutil.Process(self._processes["worker"].pid).children()
        if children:
            children[0].kill()
        return bool(children)

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)
