"""What the environment asks of `make run`, checked before anything starts."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


class CannotRun(Exception):
    """One sentence for whoever typed `make run`."""


@dataclass(frozen=True, slots=True)
class Wishes:
    data_dir: Path
    port: int
    web_workers: int
    database_url: str  # "" starts the embedded PostgreSQL
    redis_url: str  # "" starts the embedded Redis

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"


def read_wishes(environment: Mapping[str, str] = os.environ) -> Wishes:
    """
    Raises:
        CannotRun: a number is none, or out of its range.
    """
    return Wishes(
        data_dir=Path(environment.get("DATA_DIR") or PROJECT / "var").resolve(),
        port=_number(environment, "PORT", 8000, 65_535),
        web_workers=_number(environment, "WEB_WORKERS", 1, 64),
        database_url=environment.get("DATABASE_URL", ""),
        redis_url=environment.get("REDIS_URL", ""),
    )


def require_free_port(port: int) -> None:
    if not is_free(port):
        raise CannotRun(
            f"Port {port} of {HOST} is taken: stop what listens there, or choose another as in "
            f"`PORT={port + 1} make run`."
        )


def is_free(port: int) -> bool:
    try:
        with socket.create_server((HOST, port)):
            return True
    except OSError:
        return False


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def _number(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    raw = environment.get(name) or str(default)
    if not raw.isdecimal() or not 1 <= int(raw) <= most:
        raise CannotRun(f"{name}={raw!r} is not valid: use a number from 1 to {most}.")
    return int(raw)
