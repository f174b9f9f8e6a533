"""How this copy of the agent was installed: that decides how it is started and how it is replaced."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import shareai_node


_DEB_PLACE = Path("/usr/lib/shareai-node")
_DEB_COMMAND = "/usr/bin/shareai-node"


class Kind(Enum):
    ZIPAPP = "zipapp"
    """One file, run by Python."""

    WHEEL = "wheel"
    """In an environment of its own, put there by pip."""

    DEB = "deb"
    """The system's; its package manager is what changes it."""

    SOURCE = "source"
    """A checkout; git is what changes it."""


@dataclass(frozen=True, slots=True)
class Installation:
    """
    Args:
        place: the zipapp, or the folder in which the package's own folder is.
        python: what runs it.
    """

    kind: Kind
    place: Path
    python: Path

    @property
    def command(self) -> list[str]:
        """Starts it; verbs follow."""
        if self.kind is Kind.DEB:
            return [_DEB_COMMAND]
        if self.kind is Kind.ZIPAPP:
            return [str(self.python), str(self.place)]
        return [str(self.python), "-m", "shareai_node"]


def own() -> Installation:
    python = Path(sys.executable)
    if (zipapp := _zipapp()) is not None:
        return Installation(Kind.ZIPAPP, zipapp, python)
    place = Path(shareai_node.__file__).resolve().parents[1]
    if place == _DEB_PLACE:
        return Installation(Kind.DEB, place, python)
    return Installation(Kind.WHEEL if _installed_in(place) else Kind.SOURCE, place, python)


def _zipapp() -> Path | None:
    """The file that holds this module, which is then no file of the system."""
    for parent in Path(shareai_node.__file__).absolute().parents:
        if parent.is_file():
            return parent
    return None


def _installed_in(place: Path) -> bool:
    try:
        files = distribution("shareai-node").locate_file("shareai_node")
    except PackageNotFoundError:
        return False
    return Path(str(files)).resolve() == place / "shareai_node"
