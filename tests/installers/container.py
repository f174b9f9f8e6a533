"""The agent's Dockerfile, followed by hand: no container engine runs here, and no image is fetched.

Each stage is this machine's root folder with everything written to it kept in memory, and in it Python's virtual
environment at /usr/local, where the official image has its Python. What is not proven so is that image itself, and
the Python of its version: the system's own stands in for it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.installers.conftest import ROOT, tool
from tests.installers.machine import PASSED_ON

WITHIN_S = 420
_BASE = re.compile(r"python:3\.\d+-slim")
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_STAGE = """\
mkdir -p "$IMAGE/{n}/up" "$IMAGE/{n}/work" "$IMAGE/{n}/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$IMAGE/{n}/up,workdir=$IMAGE/{n}/work" "$IMAGE/{n}/root"
mount --rbind /dev "$IMAGE/{n}/root/dev"
mount --rbind /proc "$IMAGE/{n}/root/proc"
chroot "$IMAGE/{n}/root" /usr/bin/python3 -m venv /usr/local
"""


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line]


@dataclass
class Image:
    """What the instructions add up to; `steps` is the script that builds it as root in a mount namespace."""

    python: str
    steps: list[str] = field(default_factory=lambda: ["set -eu", 'mount -t tmpfs -o mode=0711 tmpfs "$IMAGE"'])
    stages: list[str] = field(default_factory=list)
    folder: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    entry: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    @property
    def root(self) -> str:
        return f'"$IMAGE/{len(self.stages) - 1}/root"'

    def chroot(self, words: str, *options: str) -> str:
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join(["chroot", *options, self.root, "env", *variables, words])

    def asked(self, words: str) -> str:
        """A command for the shell, which becomes that process, of the image's user."""
        return self.chroot(words, f"--userspec={self.user}")

    def take(self, word: str, rest: str) -> None:
        match word:
            case "FROM":
                image, _, name = rest.partition(" AS ")
                assert _BASE.fullmatch(image), image
                self.steps.append(_STAGE.format(n=len(self.stages)))
                self.stages.append(name)
                self.folder, self.environment, self.user = "/", {}, "0:0"
            case "WORKDIR":
                self.folder = rest
                self.steps.append(f"mkdir -p {self.root}{rest}")
            case "COPY":
                self.steps.append(self._copy(rest.split()))
            case "RUN":
                self.steps.append(self.chroot(f"sh -ec {shlex.quote(f'cd {self.folder}; {self._here(rest)}')}"))
            case "ENV":
                self.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "USER":
                self.user = rest
            case "HEALTHCHECK":
                self.health = json.loads(rest.partition("CMD ")[2])
            case "ENTRYPOINT":
                self.entry = json.loads(rest)
            case "CMD":
                self.command = json.loads(rest)
            case other:
                assert other == "VOLUME", other

    def _here(self, words: str) -> str:
        """For the Python at hand."""
        return re.sub(r"python3\.\d+", self.python, words)

    def _copy(self, words: list[str]) -> str:
        origin = shlex.quote(str(ROOT))
        if words[0].startswith("--from="):
            origin = f'"$IMAGE/{self.stages.index(words.pop(0).removeprefix("--from="))}/root"'
        source, target = words
        there = target if target.startswith("/") else f"{self.folder}/{target}"
        where = f"{self.root}{there}"
        folder = source.startswith("/") or (ROOT / source).is_dir()
        if folder:
            return f"mkdir -p {where} && cp -a {origin}/{source}/. {where}/"
        return f"install -D -m 0644 {origin}/{source} {where}"


def followed(dockerfile: Path, python: str) -> Image:
    """Args: python: with its version, such as "python3.11"."""
    image = Image(python)
    for word, rest in instructions(dockerfile):
        image.take(word, rest)
    return image


def why_not(folder: Path) -> str:
    """Empty where a stage can be made: by root, on a kernel that lays folders over others."""
    done = _apart("\n".join([*Image("").steps, _STAGE.format(n=0)]), folder, 60)
    return "" if done.returncode == 0 else f"no stage can be made here: {done.stderr.strip()[-200:]}"


def run_by_hand(image: Image, then: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Builds it, and goes on with a script."""
    return _apart("\n".join([*image.steps, then]), folder, WITHIN_S)


def _apart(script: str, folder: Path, within_s: float) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    return subprocess.run(
        [tool("unshare"), "--mount", "sh", "-c", script],
        env={**kept, "PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "IMAGE": str(folder)},
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
