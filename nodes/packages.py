"""The agent's packages, built from the agent's sources when first asked for and kept in the data folder.

A process of its own builds them (`agent/build.py`): the agent is another building, and its build knows nothing of
this one. What was built is found by a fingerprint of the sources, so that a new version is built when it is there,
and all processes of a host share one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

BUILD_WITHIN_S = 120
INSTALLERS = "installers"
_SOURCES = {".py", ".toml", ".txt", ".md", ""}


class CannotBuild(Exception):
    """The agent's packages cannot be made here; the message is for whoever runs this console."""


@dataclass(frozen=True, slots=True)
class Package:
    """
    Args:
        sha256: in hexadecimal.
    """

    data: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Packages:
    """By name; `latest.json` and `SHA256SUMS` are among them."""

    version: str
    files: Mapping[str, Package]


def agent_folder() -> Path:
    return Path(settings.BASE_DIR) / "agent"


@cache
def packages() -> Packages:
    """Builds at most once for each version of the sources, whichever process asks first.

    Raises:
        CannotBuild: nothing is kept; the next call tries again.
    """
    folder = Path(settings.DATA_DIR) / "agent" / fingerprint(agent_folder())
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _alone(folder.parent):
                _ensure_built(folder)
        return _read(folder)
    except OSError as error:
        raise CannotBuild(f"{error.filename or folder}: {error.strerror}") from error


def fingerprint(agent: Path) -> str:
    """Of everything that the build reads, by path and content."""
    digest = hashlib.sha256()
    for path in sorted(agent.rglob("*")):
        if path.is_file() and path.suffix in _SOURCES and "__pycache__" not in path.parts:
            data = path.read_bytes()
            digest.update(f"{path.relative_to(agent).as_posix()}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:16]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _ensure_built(folder: Path) -> None:
    if folder.is_dir():  # by whoever held the lock before
        return
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=folder.parent))
    try:
        _build(draft)
        os.rename(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for former in folder.parent.iterdir():
        if former.is_dir() and former != folder:
            shutil.rmtree(former, ignore_errors=True)


def _build(folder: Path) -> None:
    command = [sys.executable, str(agent_folder() / "build.py"), str(folder)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=BUILD_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CannotBuild(f"it took longer than {BUILD_WITHIN_S} s") from error
    if done.returncode:
        raise CannotBuild(done.stderr.strip() or f"status {done.returncode}")


def _read(folder: Path) -> Packages:
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    version = str(json.loads(files["latest.json"])["version"])
    return Packages(version, {name: Package(data, hashlib.sha256(data).hexdigest()) for name, data in files.items()})
