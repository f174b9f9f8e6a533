"""What a data folder keeps from one start to the next: its lock, its secrets, its demo ports."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from console.embedded.wishes import CannotRun, free_port, is_free

SECRETS = "secrets.env"
PORTS = "demo-ports.json"
LOCK = "run.lock"


@contextmanager
def lock(data_dir: Path) -> Iterator[bool]:
    """Holds the folder for this process alone.

    Yields:
        whether the run before this one ended without cleaning up.

    Raises:
        CannotRun: another run holds the folder.
    """
    path = data_dir / LOCK
    with path.open("a+") as file:
        file.seek(0)
        before = file.read().strip()
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process: the kernel lets go when it dies
        except OSError as error:
            raise CannotRun(f"Process {before or 'unknown'} is already running ShareAI on {data_dir}.") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield bool(before)
        file.truncate(0)


def kept_secrets(data_dir: Path) -> dict[str, str]:
    """SECRET_KEY, the key ring of sealed credentials and the token of /metrics, made at the first start."""
    path = data_dir / SECRETS
    kept = read_env(path)
    made = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "SHAREAI_KEYRING": _new_keyring(),
        "METRICS_TOKEN": secrets.token_urlsafe(24),
    }
    wanted = made | kept
    if wanted != kept:
        write_private(path, "".join(f"{name}={value}\n" for name, value in wanted.items()))
    return wanted


def kept_ports(data_dir: Path, names: Iterable[str]) -> dict[str, int]:
    """A port for each name: the one of the last start where it is still free."""
    path = data_dir / PORTS
    kept: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    ports = {name: kept[name] if name in kept and is_free(kept[name]) else free_port() for name in names}
    if ports != kept:
        path.write_text(json.dumps(ports, indent=2) + "\n")
    return ports


def read_env(path: Path) -> dict[str, str]:
    """`NAME=value` lines; nothing when there is no such file."""
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and never readable by others, not even while it is written."""
    making = path.with_name(f"{path.name}.making")
    making.unlink(missing_ok=True)
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    making.replace(path)


def _new_keyring() -> str:
    return f"1:{base64.b64encode(secrets.token_bytes(32)).decode()}"
