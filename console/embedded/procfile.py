"""The processes of `make run`: their commands, and the environment that they all share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.embedded import leftovers, payments, upstreams
from console.embedded.engine import Engine
from console.embedded.keep import kept_ports, kept_secrets
from console.embedded.wishes import HOST, Wishes

HERALD = "run"
MACHINE = "machine"
GRACE_S = 3  # for answers under way when it is stopped; the supervisor kills after five
STILL_S = 30  # a worker that answers nothing for so long is replaced; uvicorn's five seconds end whoever merely waits
URL_NAMES = {"PostgreSQL": "DATABASE_URL", "Redis": "REDIS_URL"}
ROOT_IS_FINE = "ignore:You're running the worker with superuser privileges"  # tasks come as JSON, not as pickles
CELERY = (sys.executable, "-W", ROOT_IS_FINE, "-m", "celery", "--quiet", "-A", "console.celery")
WORKER = ("--pool=threads", "--concurrency=2", "--loglevel=WARNING", "--without-gossip", "--without-mingle")


@dataclass(frozen=True, slots=True)
class Procfile:
    environment: dict[str, str]
    commands: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Begin:
    at: float  # seconds since the epoch
    parent_pid: int  # whose end ends the run; 0 for nobody


def write_procfile(wishes: Wishes, engines: Sequence[Engine], begin: Begin) -> Procfile:
    """
    Args:
        engines: the embedded ones that run.
    """
    kept = kept_secrets(wishes.data_dir)
    secrets = {name: os.environ.get(name) or value for name, value in kept.items()}
    ports = kept_ports(wishes.data_dir, [*(upstream.name for upstream in upstreams.UPSTREAMS), payments.NAME])
    paying_port = ports.pop(payments.NAME)
    after_ready = [sys.executable, "-m", "console.embedded.after_ready", str(wishes.port)]
    schedule = f"--schedule={wishes.data_dir / 'beat-schedule'}"
    commands = {
        "web": _web(wishes),
        HERALD: _herald(wishes, engines, begin),
        **upstreams.commands(ports, secrets["SECRET_KEY"], wishes.data_dir),
        "worker": [*after_ready, *CELERY, "worker", *WORKER],
        MACHINE: [sys.executable, "-m", "console.embedded.machine", str(wishes.port)],
        "beat": [*after_ready, *CELERY, "beat", "--loglevel=WARNING", "--pidfile=", schedule],
    }
    environment = _environment(wishes, engines, secrets, ports)
    if payments.is_wanted(os.environ):
        commands[payments.NAME] = payments.command(
            paying_port, secrets["SECRET_KEY"], wishes.data_dir, wishes.address
        )
        environment |= payments.environment(paying_port, secrets["SECRET_KEY"])
    return Procfile(environment, commands)


def _environment(
    wishes: Wishes, engines: Sequence[Engine], secrets: Mapping[str, str], ports: Mapping[str, int]
) -> dict[str, str]:
    """What the caller's environment says stands, except for what is made here."""
    return {
        **os.environ,
        **secrets,
        **{URL_NAMES[engine.name]: engine.url for engine in engines},
        **upstreams.environment(ports, secrets["SECRET_KEY"], os.environ.get("EGRESS_ALLOW", "")),
        "DATA_DIR": str(wishes.data_dir),
        "PORT": str(wishes.port),
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "PYTHONUNBUFFERED": "1",
        leftovers.MARK: str(wishes.data_dir),
    }


def _web(wishes: Wishes) -> list[str]:
    words = [sys.executable, "-m", "uvicorn", "console.asgi:application"]
    words += ["--host", HOST, "--port", str(wishes.port), "--timeout-graceful-shutdown", str(GRACE_S)]
    words += [
        "--ws",
        "console.websocket:TakeoverProtocol",
        "--loop",
        "uvloop",
        "--http",
        "console.wire:PatientProtocol",
    ]
    words += ["--log-level", "warning", "--no-access-log", "--no-server-header"]
    if wishes.web_workers > 1:
        words += ["--workers", str(wishes.web_workers), "--timeout-worker-healthcheck", str(STILL_S)]
    return words


def _herald(wishes: Wishes, engines: Sequence[Engine], begin: Begin) -> list[str]:
    watch = {
        "port": wishes.port,
        "supervisor_pid": os.getpid(),
        "parent_pid": begin.parent_pid,
        "started_at": begin.at,
        "engines": [(engine.name, engine.process.pid, str(engine.log)) for engine in engines],
    }
    return [sys.executable, "-m", "console.embedded.herald", json.dumps(watch)]
