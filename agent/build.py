"""Builds what the console serves to machines that become nodes: `python agent/build.py FOLDER`.

    shareai_node-….whl · shareai-node.pyz · shareai-node_…_all.deb · requirements*.txt · SHA256SUMS · latest.json

It needs no network: the wheel is the source, and the other two bring along what is installed beside this Python.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from building.deb import deb_name, make_deb
from building.project import AGENT, PACKAGE, read_project
from building.tree import BuildError, read_tree
from building.vendored import vendored
from building.wheel import make_wheel, wheel_name
from building.zipapp import NAME as ZIPAPP
from building.zipapp import make_zipapp

LOCKS = ("requirements.txt", "requirements-sensors.txt")


def build() -> dict[str, bytes]:
    """Every file by its name. Raises: BuildError."""
    project = read_project()
    package = read_tree(AGENT / PACKAGE, PACKAGE)
    lock = (AGENT / LOCKS[0]).read_text("utf-8")
    libraries = vendored(lock)
    files = {
        wheel_name(project): make_wheel(project, package),
        ZIPAPP: make_zipapp(package, libraries, lock),
        deb_name(project): make_deb(project, package, libraries, (AGENT.parent / "LICENSE").read_bytes()),
    }
    files |= {name: (AGENT / name).read_bytes() for name in LOCKS}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files["SHA256SUMS"] = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
    files["latest.json"] = _latest(project.version, sums)
    return files


def _latest(version: str, sums: Mapping[str, str]) -> bytes:
    """`url` is relative to where this file is found: a console may have more than one address."""
    listed = [{"name": name, "sha256": digest, "url": name} for name, digest in sums.items()]
    return (json.dumps({"version": version, "files": listed}, indent=2) + "\n").encode()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the files are written")
    folder = parser.parse_args(arguments).folder
    try:
        files = build()
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except (BuildError, OSError) as error:
        sys.stderr.write(f"Nothing was built: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
