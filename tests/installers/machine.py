"""A user of this machine with an empty home, on which the installers are run for real."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WITHIN_S = 300
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
PASSED_ON = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_")
"""What a machine's owner says of its package index and certificates, by how the variables begin."""


class Machine:
    """Root's installation would be the machine's, so where tests run as root it is `nobody` who installs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        os.chown(home, self.user.pw_uid, self.user.pw_gid)

    @property
    def program(self) -> Path:
        return self.home / ".local/share/shareai-node"

    @property
    def command(self) -> Path:
        return self.home / ".local/bin/shareai-node"

    def environment(self, **given: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        return {**kept, "HOME": str(self.home), "PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", **given}

    def start(self, *words: str | Path, **given: str) -> subprocess.Popen[str]:
        identity = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        return subprocess.Popen(
            list(map(str, words)),
            env=self.environment(**given),
            cwd=self.home,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # no terminal on which somebody could be asked
            **(identity if os.geteuid() == 0 else {}),
        )

    def run(self, *words: str | Path, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """`given` is its standard input."""
        process = self.start(*words, **environment)
        try:
            out, err = process.communicate(given, timeout=WITHIN_S)
        finally:
            if process.poll() is None:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def install(self, console: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """As the wizard says it, with options after it."""
        line = f"curl -fsSL {console}/install.sh | sh -s -- {' '.join(options)}"
        return self.run("sh", "-c", line, **environment)

    def has_python(self) -> bool:
        """Of the system's own: what belongs to whoever runs the tests may be closed to others."""
        code = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
        return (
            shutil.which("python3", path=SYSTEM_PATH) is not None and self.run("python3", "-c", code).returncode == 0
        )

    def tree(self) -> dict[str, tuple[str, bytes | str]]:
        """Every path below the home: its mode, and its content or where it leads."""
        return {str(path.relative_to(self.home)): _told(path) for path in sorted(self.home.rglob("*"))}


def _told(path: Path) -> tuple[str, bytes | str]:
    mode = stat.filemode(path.lstat().st_mode)
    if path.is_symlink():
        return mode, os.readlink(path)
    return mode, path.read_bytes() if path.is_file() else b""


@contextmanager
def machine() -> Iterator[Machine]:
    """Not below pytest's folders, which are closed to other users."""
    home = Path(tempfile.mkdtemp(prefix="shareai-node-"))
    try:
        yield Machine(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
