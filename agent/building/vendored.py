"""The agent's dependencies as they are installed here, for packages that bring them along.

Only those in pure Python that every system needs: the rest comes from where its machine gets such things.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from building.tree import BuildError, Entry

FETCHED = ("cffi", "cryptography", "pycparser", "tzdata")
"""cryptography, what only it needs, and what only Windows needs: no other system has it to bring along."""

KEPT_SUFFIXES = (".py", ".pem")
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


def pinned_names(lock: str) -> list[str]:
    return _PINNED.findall(lock)


def fetched_lock(lock: str) -> str:
    """The lines of a lock file for what cannot be brought along."""
    blocks = re.split(r"\n(?=[A-Za-z0-9])", lock)
    kept = [block for block in blocks if (name := _PINNED.match(block)) and name[1] in FETCHED]
    if len(kept) != len(FETCHED):
        raise BuildError(f"agent/requirements.txt does not pin each of {', '.join(FETCHED)}.")
    return "\n".join(block.rstrip("\n") for block in kept) + "\n"


def vendored(lock: str) -> dict[str, Entry]:
    """Modules, certificates, metadata and licences of every pure dependency, by their place in site-packages.

    Raises:
        BuildError: one of them is not installed here.
    """
    found: dict[str, Entry] = {}
    for name in pinned_names(lock):
        if name not in FETCHED:
            found |= dict(_files_of(_installed(name)))
    return dict(sorted(found.items()))


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise BuildError(f"{name} is not installed here, and the agent's packages bring it along.") from error


def _files_of(package: Distribution) -> Iterator[tuple[str, Entry]]:
    for path in package.files or ():
        if not path.is_absolute() and ".." not in path.parts and _is_kept(path.as_posix()):
            yield path.as_posix(), Entry(Path(str(package.locate_file(path))).read_bytes())


def _is_kept(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    if ".dist-info" in folder:
        return name == "METADATA" or "licen" in path.lower()
    return path.endswith(KEPT_SUFFIXES) and not {"__pycache__", "tests"} & set(folder.split("/"))
