"""An agent's home in a folder of its own, its verbs as real processes, a small console, a real llama.cpp server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.llama import running_llama
from shareai_node.places import Places, places
from tests.agent.console import Console
from tests.architecture.modules import ROOT
from tests.fakes.upstream import FaultUpstream

TOKEN = "sai-node-good-token-1"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.lower() not in _PROXIES}
    return {**kept, "PYTHONPATH": str(ROOT / "agent"), **more}


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line that an error is."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


@dataclass(frozen=True)
class Home:
    """One machine's agent, whose verbs are real processes."""

    folder: Path
    python: str = sys.executable

    @property
    def places(self) -> Places:
        return places({"SHAREAI_NODE_HOME": str(self.folder)})

    def command(self, *words: str) -> list[str]:
        return [self.python, "-m", "shareai_node", "--home", str(self.folder), *words]

    async def do(self, *words: str, given: str = "", **environment: str) -> Done:
        return await asyncio.to_thread(self.do_now, *words, given=given, **environment)

    def do_now(self, *words: str, given: str = "", **environment: str) -> Done:
        done = subprocess.run(
            self.command(*words),
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.folder.parent,
            env=clean_environment(**environment),
        )
        return Done(done.returncode, done.stdout, done.stderr)

    async def enroll(self, console: Console, *words: str, **environment: str) -> Done:
        done = await self.do("enroll", console.origin, "--no-discover", *words, given=TOKEN, **environment)
        assert done.code == 0, done.err
        return done

    @asynccontextmanager
    async def running(
        self, *words: str, user: str | None = None, **environment: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *self.command("run", *words),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self.folder.parent,
            env=clean_environment(**environment),
            user=user,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
            _, said = await asyncio.wait_for(process.communicate(), 45)
            sys.stderr.buffer.write(said)  # pytest shows it beside a failure


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def make_home(tmp_path: Path) -> Callable[[str], Home]:
    return lambda name: Home(tmp_path / name)


@pytest.fixture
async def console() -> AsyncIterator[Console]:
    async with Console() as console:
        yield console


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a llama.cpp server, without `/v1`."""
    with running_llama(tmp_path_factory.mktemp("llama")) as base_url:
        yield base_url.removesuffix("/v1")


@pytest.fixture
async def faults() -> AsyncIterator[FaultUpstream]:
    """A local server that wants no key; its models are the fault menu, and one that is fine."""
    async with FaultUpstream(keys=[""], models=["fine"]) as upstream:
        yield upstream
