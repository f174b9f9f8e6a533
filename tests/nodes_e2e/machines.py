"""Machines of owners: folders of their own, the real agent in them as a process, enrolled by its own verb."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nodes.enrolment import create_token
from nodes.models import Node
from tests.agent.conftest import Home, clean_environment
from tests.stack import GatewayProcess, Tenant

PATIENCE_S = 20.0


def until(condition: Callable[[], Any], within_s: float = PATIENCE_S, what: Callable[[], str] = lambda: "") -> None:
    """Polls. The bound is where a test gives up, not what it measures."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what() or "it did not come about"
        time.sleep(0.05)


class Machine:
    """
    Args:
        models: ids, with commas between, that it offers alone; a fault server lists its whole menu.
        prefix: words before the agent's command, for a machine that lives in another network.
    """

    def __init__(self, folder: Path, models: str = "", prefix: tuple[str, ...] = ()) -> None:
        self.models = models
        self.home = Home(folder)
        self.prefix = prefix
        self.process: subprocess.Popen[bytes] | None = None
        self.row: Node

    def enrol(
        self, console: str, tenant: Tenant, *servers: str, name: str = "Box", key_file: Path | None = None
    ) -> None:
        """Args: key_file: of the key that its model servers want."""
        self.enrol_with(create_token(tenant.org, tenant.actor).plain, console, *servers, name=name, key_file=key_file)
        self.row = Node.objects.of(tenant.org).get(name=name)

    def enrol_with(
        self, token: str, console: str, *servers: str, name: str = "Box", key_file: Path | None = None
    ) -> None:
        words = ["enroll", console, "--allow-http", "--no-discover", "--name", name]
        words += [word for server in servers for word in ("--server", server)]
        words += ["--server-key-file", str(key_file)] if key_file else []
        done = self._do(words, token)
        assert done.returncode == 0, done.stderr

    def _do(self, words: list[str], given: str) -> subprocess.CompletedProcess[str]:
        self.home.folder.parent.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [*self.prefix, *self.home.command(*words)],
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environment(),
            check=False,
        )

    def start(self) -> None:
        with (self.home.folder / "said").open("ab") as said:
            self.process = subprocess.Popen(
                [*self.prefix, *self.home.command("run")],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=clean_environment(SHAREAI_NODE_MODELS=self.models),
            )

    def said(self) -> str:
        return (self.home.folder / "said").read_text(errors="replace")

    @property
    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            sys.stderr.write(self.said()[-2000:])  # pytest shows it beside a failure
        self.process = None


@contextmanager
def machine_of(
    console: GatewayProcess, tenant: Tenant, folder: Path, *servers: str, name: str = "Box", models: str = ""
) -> Iterator[Machine]:
    """Enrolled and running; whether it may be asked yet is for the test to find out."""
    machine = Machine(folder, models)
    machine.enrol(console.url, tenant, *servers, name=name)
    machine.start()
    try:
        yield machine
    finally:
        machine.stop()
