"""The wheel, as the binary distribution format 1.0 has it: https://packaging.python.org/specifications/."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from building.project import Project
from building.tree import Entry, Tree, to_zip

WHEEL = "Wheel-Version: 1.0\nGenerator: shareai-node-build\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel_name(project: Project) -> str:
    return f"{project.stem}-py3-none-any.whl"


def make_wheel(project: Project, package: Tree) -> bytes:
    info = f"{project.stem}.dist-info"
    tree = dict(package)
    tree[f"{info}/METADATA"] = _text("\n".join(_metadata(project)))
    tree[f"{info}/WHEEL"] = _text(WHEEL)
    tree[f"{info}/entry_points.txt"] = _text("\n".join(["[console_scripts]", *_scripts(project), ""]))
    tree[f"{info}/RECORD"] = _text(_record(tree, f"{info}/RECORD"))
    return to_zip(tree)


def _text(text: str) -> Entry:
    return Entry(text.encode())


def _metadata(project: Project) -> Iterator[str]:
    # Version 2.1 says the licence in `License`; the pip of a five-year-old system reads it.
    yield from ("Metadata-Version: 2.1", f"Name: {project.name}", f"Version: {project.version}")
    yield from (f"Summary: {project.summary}", f"License: {project.license}")
    yield f"Requires-Python: {project.requires_python}"
    yield from (f"Requires-Dist: {each}" for each in project.dependencies)
    for extra, dependencies in project.extras.items():
        yield f"Provides-Extra: {extra}"
        yield from (f"Requires-Dist: {each} ; extra == '{extra}'" for each in dependencies)
    yield from ("Description-Content-Type: text/markdown", "", project.readme)


def _scripts(project: Project) -> Iterator[str]:
    return (f"{name} = {target}" for name, target in project.scripts.items())


def _record(tree: Tree, own: str) -> str:
    lines = [f"{name},sha256={_digest(entry.data)},{len(entry.data)}" for name, entry in tree.items()]
    return "\n".join([*lines, f"{own},,", ""])


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
