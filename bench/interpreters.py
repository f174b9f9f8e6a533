"""Which Python the gateways written in Python run on: the fastest of this machine, the same for all of them.

An interpreter built from source without profile-guided optimisation costs a quarter more than Debian's of the same
version, which would be measured as the gateways'. How one was built is not told reliably (Debian's says nothing), so
a loop of plain Python is timed on each.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.processes import GatewayError
from bench.progress import say

_NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"
_USUAL_FOLDERS = ("/usr/bin", "/usr/local/bin")
_TURNS = 3
"""In turns, so that a noisy second does not decide."""
_TRIAL = """
import sys, time, venv

def work():
    seen = {}
    for number in range(20_000):
        seen[number % 97] = (number, str(number), [number])

def timed():
    begin = time.process_time()
    work()
    return time.process_time() - begin

print(sys.version.split()[0], min(timed() for _ in range(15)))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    path: Path
    version: str
    trial_s: float


@cache
def fastest() -> Interpreter:
    """Of the version that runs the bench, so that pins mean the same.

    Raises:
        GatewayError: none runs.
    """
    trials = [found for path in _candidates() * _TURNS if (found := _tried(path)) is not None]
    if not trials:
        raise GatewayError(f"no {_NAME} runs")
    trials.sort(key=lambda interpreter: interpreter.trial_s, reverse=True)
    tried = {found.path: found for found in trials}.values()  # of each its fastest
    best = min(tried, key=lambda interpreter: interpreter.trial_s)
    told = ", ".join(f"{found.path} {found.trial_s * 1000:.1f} ms" for found in tried)
    say(f"gateways in Python run on {best.path} ({best.version}), the fastest of: {told}")
    return best


def _candidates() -> list[Path]:
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *_USUAL_FOLDERS]
    named = [Path(folder) / _NAME for folder in folders if folder]
    paths = [Path(sys._base_executable), *(path for path in named if path.exists())]  # type: ignore[attr-defined]
    return list({path.resolve(): path for path in reversed(paths)}.values())


def _tried(path: Path) -> Interpreter | None:
    """None for what does not run, such as the stand-in of a version that its switcher has not got."""
    command = [str(path), "-I", "-c", _TRIAL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    words = done.stdout.split()
    if done.returncode != 0 or len(words) != 2:
        return None
    return Interpreter(path, words[0], float(words[1]))


def environment_steps(folder: Path, *pip_words: str) -> list[list[str | Path]]:
    """The commands that make a virtual environment in `folder` and install into it.

    Our own pip does it from outside: Debian's Python brings none.
    """
    python = str(folder / "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    return [
        [fastest().path, "-m", "venv", "--clear", "--without-pip", folder],
        [*pip, "install", "--quiet", *pip_words],
    ]
