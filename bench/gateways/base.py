"""What the bench needs to know of a gateway."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bench.interpreters import environment_steps, fastest
from bench.processes import Child, GatewayError
from bench.progress import say

ENVIRONMENTS = Path(__file__).resolve().parent.parent / ".envs"
PEER_CASES = ("unary", "stream", "paced")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a started gateway answers, and under which model name it serves each case.

    `case_headers` replace `headers` of the same name, in their case alone.
    """

    port: int
    models: Mapping[str, str]  # case → model; a case that is absent is not measured
    headers: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    path: str = "/v1/chat/completions"
    case_headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"


class Gateway(ABC):
    """Built once, started, measured, stopped. One object is started at most once."""

    name: ClassVar[str]
    share: ClassVar[float] = 1.0  # of each case's requests; below 1 for slow ones, which say as much with fewer
    pins: ClassVar[Sequence[str]] = ()  # a change of these builds the environment anew
    is_python: ClassVar[bool] = False

    def __init__(self) -> None:
        self.children: list[Child] = []

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / self.name

    @property
    def pids(self) -> list[int]:
        """The processes whose trees are accounted."""
        return [child.pid for child in self.children]

    @property
    def has_died(self) -> bool:
        return any(child.has_ended for child in self.children)

    def build(self) -> None:
        """Makes the environment, unless it is there already.

        Raises:
            GatewayError: something it needs cannot be had.
        """
        stamp = self.folder / ".complete"
        wanted = hashlib.sha256("\n".join([*self.pins, self.runs_on()]).encode()).hexdigest()
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        say(f"{self.name}: building its environment in {self.folder} (may take minutes, once)")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.install()
        stamp.write_text(wanted)

    def runs_on(self) -> str:
        """What its environment is made with besides the pins."""
        return f"{fastest().path} {fastest().version}" if self.is_python else ""

    def install(self) -> None:  # noqa: B027
        """Fills the empty folder; nothing to do for a gateway that is there already."""

    @abstractmethod
    def start(self, upstream_url: str) -> Endpoint:
        """Starts the gateway in front of the upstream, whose URL has no path, and waits until it answers.

        Raises:
            GatewayError: it does not come up.
        """

    def stop(self) -> None:
        for child in self.children:
            child.stop()

    def spawn(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Child:
        child = Child(command, self.folder / "output.log", env, cwd)
        self.children.append(child)
        return child

    def run_step(
        self, command: Sequence[str | Path], cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """Runs one step of a build or of a start. Returns what it printed.

        Raises:
            GatewayError: with the end of its output.
        """
        words = [str(word) for word in command]
        try:
            done = subprocess.run(
                words,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=1200,
                check=False,
            )
        except FileNotFoundError as error:
            raise GatewayError(f"{words[0]} is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise GatewayError(f"{' '.join(words)} took longer than 20 minutes") from error
        if done.returncode != 0:
            raise GatewayError(f"{' '.join(words)} failed: {(done.stdout + done.stderr)[-800:].strip()}")
        return done.stdout

    def install_python(self, *requirements: str) -> None:
        """A virtual environment of its own, so that its pins never meet ours."""
        for command in environment_steps(self.folder, *requirements):
            self.run_step(command)


def answers_get(port: int, path: str) -> bool:
    """Whether a GET is answered with 200 now."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
