"""The agent's packages, built once, and what some of these tests need of a machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AGENT = ROOT / "agent"
SCRIPTS = AGENT / "installers"


def build_into(folder: Path, **environment: str) -> Path:
    command = [sys.executable, str(AGENT / "build.py"), str(folder)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    return build_into(tmp_path_factory.mktemp("packages") / "built")


@pytest.fixture(scope="session")
def package_index(tmp_path_factory) -> None:
    """Skips where pip reaches no package index: what is installed for real needs one."""
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--no-cache-dir", "--retries", "1"]
    folder = tmp_path_factory.mktemp("index")
    done = subprocess.run([*command, "-d", str(folder), "h11"], capture_output=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip("pip reaches no package index from here")


def tool(name: str) -> str:
    """The path of a program, of this environment or of the system, or a skipped test."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"no {name} on PATH")
    return found
