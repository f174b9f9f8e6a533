"""Putting another version in the place of this one, and this one back. Each kind of installation has its way."""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from shareai_node.errors import UpgradeFailed
from shareai_node.installation import Installation, Kind
from shareai_node.releases import Release, fetch

_ANSWERS_WITHIN_S = 30
_INSTALLS_WITHIN_S = 600


class Replacement(ABC):
    """
    Args:
        keep: a folder for what is replaced, until the new version is seen to work.
    """

    def __init__(self, installation: Installation, release: Release, keep: Path) -> None:
        self.installation = installation
        self.release = release
        self.keep = keep

    @abstractmethod
    def fetch(self) -> None:
        """Everything that is needed, verified. Nothing is changed yet. Raises: AgentError."""

    @abstractmethod
    def swap(self) -> None:
        """Raises: UpgradeFailed; the former version may be half replaced then, and `restore` puts it right."""

    @abstractmethod
    def restore(self) -> None: ...

    def forget(self) -> None:
        shutil.rmtree(self.keep, ignore_errors=True)


class ZipappReplacement(Replacement):
    def fetch(self) -> None:
        self._new = fetch(self.release.file(r"shareai-node\.pyz"), self.keep)
        shutil.copymode(self.installation.place, self._new)
        refuse_broken([str(self.installation.python), str(self._new)], self.release.version)
        shutil.copy2(self.installation.place, self._former)

    def swap(self) -> None:
        self._put(self._new)

    def restore(self) -> None:
        self._put(self._former)

    @property
    def _former(self) -> Path:
        return self.keep / "former.pyz"

    def _put(self, file: Path) -> None:
        """By a rename within the folder: whoever starts the agent meanwhile finds the one or the other, whole."""
        place = self.installation.place
        beside = place.with_name(f".{place.name}.new")
        try:
            shutil.copy2(file, beside)
            os.replace(beside, place)
        except OSError as error:
            raise UpgradeFailed(f"{place} cannot be replaced: {error.strerror}. Upgrade as its owner.") from error


class WheelReplacement(Replacement):
    """By pip, in the environment where this copy is. Its dependencies stay newer if it has to come back; that fits."""

    def fetch(self) -> None:
        self._wheel = fetch(self.release.file(r"shareai_node-.+-py3-none-any\.whl"), self.keep)
        self._locked = fetch(self.release.file(r"requirements\.txt"), self.keep)
        for folder in self._folders():
            shutil.copytree(folder, self.keep / "former" / folder.name, dirs_exist_ok=True)

    def swap(self) -> None:
        self._pip("--prefer-binary", "--require-hashes", "-r", str(self._locked))
        self._pip("--no-deps", "--no-index", str(self._wheel))
        refuse_broken(self.installation.command, self.release.version)

    def restore(self) -> None:
        for folder in self._folders():
            shutil.rmtree(folder)
        for folder in (self.keep / "former").iterdir():
            shutil.copytree(folder, self.installation.place / folder.name)

    def _folders(self) -> list[Path]:
        place = self.installation.place
        return [
            folder for folder in (place / "shareai_node", *place.glob("shareai_node-*.dist-info")) if folder.is_dir()
        ]

    def _pip(self, *words: str) -> None:
        command = [str(self.installation.python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        done = _done([*command, *words], _INSTALLS_WITHIN_S)
        if done.returncode != 0:
            raise UpgradeFailed(f"pip could not install the new version: {_last_line(done.stderr)}")


def replacement(installation: Installation, release: Release, keep: Path) -> Replacement:
    """Raises: UpgradeFailed: this kind of installation is replaced by other means."""
    match installation.kind:
        case Kind.ZIPAPP:
            return ZipappReplacement(installation, release, keep)
        case Kind.WHEEL:
            return WheelReplacement(installation, release, keep)
        case Kind.DEB:
            raise UpgradeFailed("This copy is a Debian package: install the console's newer one with apt.")
        case Kind.SOURCE:
            raise UpgradeFailed("This copy runs from its source: bring that up to date instead.")


def refuse_broken(command: Sequence[str], version: str) -> None:
    """Raises: UpgradeFailed: it does not start, or is another version than it should be."""
    done = _done([*command, "--version"], _ANSWERS_WITHIN_S)
    if done.returncode != 0:
        raise UpgradeFailed(f"Version {version} does not start here: {_last_line(done.stderr)}")
    if done.stdout.strip() != version:
        raise UpgradeFailed(f"What the console offers as version {version} calls itself {done.stdout.strip()[:40]}.")


def _done(command: Sequence[str], within_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
            cwd=os.path.dirname(command[0]) or None,  # beside a checkout Python would find that first
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UpgradeFailed(f"{command[0]} could not be run: {error}") from error


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it says nothing"
