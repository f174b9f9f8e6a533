"""The versions of the agent that the console offers, and the fetching of one: nothing unverified is ever kept."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from shareai_node import __version__
from shareai_node.config import Config
from shareai_node.console import client
from shareai_node.errors import ConsoleUnreachable, UpgradeFailed
from shareai_node.faults import NETWORK_ERRORS, explain

PATH = "/nodes/v1/agent/latest.json"
_LARGEST_BYTES = 64 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,120}")


@dataclass(frozen=True, slots=True)
class Offered:
    name: str
    sha256: str
    url: str


@dataclass(frozen=True, slots=True)
class Release:
    version: str
    files: tuple[Offered, ...]

    @property
    def is_newer(self) -> bool:
        return numbers(self.version) > numbers(__version__)

    def file(self, pattern: str) -> Offered:
        """Raises: UpgradeFailed: the console does not offer it."""
        for file in self.files:
            if re.fullmatch(pattern, file.name):
                return file
        raise UpgradeFailed(f"The console offers version {self.version} in no form that fits this installation.")


def numbers(version: str) -> tuple[int, ...]:
    """Of `1.10.2`; what is no number counts as nothing."""
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def latest(config: Config) -> Release:
    """Raises: ConsoleUnreachable; UpgradeFailed: it answers something else."""
    url = config.console + PATH
    try:
        with client() as http:
            answer = http.get(url)
    except NETWORK_ERRORS as error:
        raise ConsoleUnreachable(explain(error, url)) from error
    if answer.status_code != 200:
        raise UpgradeFailed(f"{config.console} offers no agent ({answer.status_code}). Ask its administrator.")
    try:
        said: Any = answer.json()
        files = tuple(_offered(file, url) for file in said["files"])
        return Release(str(said["version"]), files)
    except (ValueError, KeyError, TypeError):
        raise UpgradeFailed(
            f"{config.console} offers its agent in a way that this one does not understand."
        ) from None


def _offered(said: dict[str, Any], listed_at: str) -> Offered:
    """Raises: ValueError: a file of another host, or without a proper checksum."""
    name, sha256, url = str(said["name"]), str(said["sha256"]), urljoin(listed_at, str(said["url"]))
    if (
        not url.startswith(listed_at.removesuffix(PATH) + "/")
        or not _DIGEST.fullmatch(sha256)
        or not _NAME.fullmatch(name)
    ):
        raise ValueError(name)
    return Offered(name, sha256, url)


def fetch(file: Offered, folder: Path) -> Path:
    """The file, once its checksum is seen to be right.

    Raises: ConsoleUnreachable; UpgradeFailed: it is another one than was listed.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, digest, size_bytes = folder / file.name, hashlib.sha256(), 0
    try:
        with client() as http, http.stream("GET", file.url) as answer, path.open("wb") as kept:
            if answer.status_code != 200:
                raise UpgradeFailed(f"{file.url} answered {answer.status_code}. Try again in a minute.")
            for part in answer.iter_raw():
                size_bytes += len(part)
                if size_bytes > _LARGEST_BYTES:
                    break
                digest.update(part)
                kept.write(part)
    except NETWORK_ERRORS as error:
        path.unlink(missing_ok=True)
        raise ConsoleUnreachable(explain(error, file.url)) from error
    if size_bytes > _LARGEST_BYTES or digest.hexdigest() != file.sha256:
        path.unlink()
        raise UpgradeFailed(f"{file.name} is not what the console listed: its checksum differs. Nothing was changed.")
    return path
