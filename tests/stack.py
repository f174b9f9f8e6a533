"""A real gateway for tests: uvicorn in a process of its own on the test database, and organisations to call it.

Organisations are made new for each test and never deleted, so nothing has to be flushed between tests and tests
can share one gateway.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import psutil
from django.db import connection as database

from accounts.audit import Actor
from accounts.keys import create_key
from accounts.models import Organization, User
from accounts.organizations import create_organization
from common.ids import new_id
from providers.models import Connection
from providers.services import create_connection

READY_WITHIN_S = 40.0
SYSTEM = Actor.system("tests")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Listening(Protocol):
    @property
    def port(self) -> int: ...


def allow_of(upstreams: Iterable[Listening]) -> str:
    """EGRESS_ALLOW for servers of this machine."""
    return ", ".join(f"127.0.0.1:{upstream.port}" for upstream in upstreams)


def database_url() -> str:
    """Of the database that the tests run on, which another process can open."""
    settings = database.settings_dict
    user = quote(settings["USER"]) + (f":{quote(settings['PASSWORD'])}" if settings["PASSWORD"] else "")
    host = f"?host={quote(settings['HOST'], safe='')}" if settings["HOST"].startswith("/") else ""
    place = "" if host else f"{settings['HOST']}:{settings['PORT']}"
    return f"postgresql://{user}@{place}/{settings['NAME']}{host}"


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any("spawn_main" in word for word in process.cmdline())
    except psutil.NoSuchProcess:  # a zombie too
        return False


class GatewayProcess:
    """uvicorn serving `console.asgi`. `stop` drains, `kill` does not."""

    def __init__(
        self,
        data_dir: Path,
        *,
        egress_allow: str = "",
        workers: int = 1,
        grace_s: int | None = None,
        **environment: str,
    ) -> None:
        """`grace_s` bounds how long `stop` lets requests in flight go on."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = data_dir
        self.log_path = data_dir / f"gateway-{self.port}.log"
        self._workers = workers
        self._grace_s = grace_s
        self._environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            "DATA_DIR": str(data_dir),
            "PORT": str(self.port),
            "EGRESS_ALLOW": egress_allow,
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def worker_pids(self) -> list[int]:
        """Of the processes that serve, where there are several; the supervisor replaces one that dies."""
        return [child.pid for child in psutil.Process(self.pid).children() if _is_worker(child)]

    @contextmanager
    def accepting_only(self, worker_pid: int) -> Iterator[None]:
        """New connections are taken by this one; the others stand still for so long."""
        others = [pid for pid in self.worker_pids if pid != worker_pid]
        try:
            for pid in others:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)

    def start(self) -> GatewayProcess:
        words = ["uvicorn", "console.asgi:application", "--host", "127.0.0.1", "--port", str(self.port)]
        words += ["--workers", str(self._workers), "--ws", "console.websocket:TakeoverProtocol", "--no-access-log"]
        words += ["--loop", "uvloop", "--http", "console.wire:PatientProtocol"]
        words += ["--timeout-worker-healthcheck", "30"]  # or one that is suspended for long is killed
        words += ["--timeout-graceful-shutdown", str(self._grace_s)] if self._grace_s is not None else []
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *words], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_ready()
        return self

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"the gateway did not come up:\n{self.log_path.read_text()[-4000:]}")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, how) if how is signal.SIGKILL else self._process.send_signal(how)
            self._process.wait(30)
            self._process = None


@dataclass
class Tenant:
    """An organisation with its owner and one key, ready to call."""

    org: Organization
    owner: User
    api_key: str
    connections: list[Connection] = field(default_factory=list)

    @property
    def actor(self) -> Actor:
        return Actor.of_user(self.owner)

    def connect(
        self,
        base_url: str,
        models: Iterable[str | Mapping[str, Any]],
        *,
        name: str = "",
        api_keys: Iterable[str] = ("upstream-key",),
        priority: int | None = None,
        **options: Any,
    ) -> Connection:
        """A connection of this organisation; the first one made is the first one tried."""
        connection = create_connection(
            self.org,
            self.actor,
            preset="custom",
            name=name or f"Upstream {'abcdefgh'[len(self.connections)]}",
            base_url=base_url,
            api_keys=list(api_keys),
            models=[{"id": model} if isinstance(model, str) else dict(model) for model in models],
            priority=priority if priority is not None else 10 * (len(self.connections) + 1),
            **options,
        )
        self.connections.append(connection)
        return connection

    def new_key(self, **wishes: Any) -> tuple[Any, str]:
        wishes = {"name": "test", "scopes": ["inference"], "created_by": self.owner} | wishes
        made = create_key(self.org, self.actor, **wishes)
        return made.key, made.plain


def make_tenant(name: str = "Acme") -> Tenant:
    owner = User.objects.create_user(f"{new_id('owner')}@example.com")
    org = create_organization(owner, name)
    tenant = Tenant(org, owner, "")
    tenant.api_key = tenant.new_key()[1]
    return tenant
