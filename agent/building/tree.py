"""What goes into a package: paths and bytes, in an order and with modes that no machine decides."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can tell."""

PLAIN, EXECUTABLE = 0o644, 0o755


class BuildError(Exception):
    """The sources cannot be packed; one sentence for whoever builds."""


@dataclass(frozen=True, slots=True)
class Entry:
    data: bytes
    mode: int = PLAIN


Tree = Mapping[str, Entry]
"""By path inside the package, with `/` between its parts."""


def read_tree(root: Path, prefix: str) -> dict[str, Entry]:
    """Every file below `root` as it would be committed: no bytecode, nothing hidden."""
    found = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in parts):
            found["/".join([prefix, *parts])] = Entry(path.read_bytes())
    return found


def to_zip(tree: Tree) -> bytes:
    """A zip archive in the order of `tree`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, entry in tree.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.create_system = 3  # Unix, wherever it is built: else modes are lost
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100000 | entry.mode) << 16
            archive.writestr(info, entry.data)
    return buffer.getvalue()


def folders_of(tree: Tree) -> Iterator[str]:
    """Every folder that the paths pass through, parents first."""
    seen = {"/".join(name.split("/")[:depth]) for name in tree for depth in range(1, name.count("/") + 1)}
    yield from sorted(seen)
