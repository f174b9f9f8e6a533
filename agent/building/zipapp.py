"""One file that runs wherever Python 3.11 does: the agent, and all it needs that is not compiled."""

from __future__ import annotations

from pathlib import Path

from building.tree import Entry, Tree, to_zip
from building.vendored import fetched_lock

NAME = "shareai-node.pyz"
SHEBANG = b"#!/usr/bin/env python3\n"
LAUNCHER = Path(__file__).with_name("launcher.py")
LOCK = "requirements-fetched.txt"


def make_zipapp(package: Tree, libraries: Tree, lock: str) -> bytes:
    launcher = {"__main__.py": Entry(LAUNCHER.read_bytes()), LOCK: Entry(fetched_lock(lock).encode())}
    return SHEBANG + to_zip(launcher | dict(package) | dict(libraries))
