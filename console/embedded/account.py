"""As whom the embedded PostgreSQL runs. It refuses to be root, so root needs somebody else to be it."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from console.embedded.engine import EngineError

NAME = "shareai-postgres"


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs a server: words put before its command, and the user and group it becomes (None: no change)."""

    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None

    def words(self, *command: str | Path) -> list[str]:
        return [*self.prefix, *map(str, command)]

    @property
    def extra_groups(self) -> tuple[int, ...] | None:
        """None keeps the caller's groups; a new user has none of them."""
        return None if self.user is None else ()

    def own(self, folder: Path) -> None:
        """Makes the folder and all in it this account's, readable by nobody else.

        Raises:
            EngineError: it is somebody else's, and only root could change that.
        """
        user = os.geteuid() if self.user is None else self.user
        group = os.getegid() if self.group is None else self.group
        if folder.stat().st_uid != user:
            if os.geteuid():
                raise EngineError(f"{folder} belongs to another user: start as that user, or set DATA_DIR elsewhere.")
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, user, group, follow_symlinks=False)
        folder.chmod(0o700)


def account_for(*folders: Path) -> Account:
    """The account that can reach all `folders`.

    Raises:
        EngineError: only root can reach one of them, and the kernel gives no user namespace to go round that.
    """
    if os.geteuid() != 0:
        return Account()
    closed = next((parent for folder in folders for parent in _closed_parents(folder)), None)
    if closed is None:
        entry = _unprivileged_user()
        return Account(user=entry.pw_uid, group=entry.pw_gid)
    prefix = _namespace_prefix()
    if prefix is None:
        raise EngineError(
            f"PostgreSQL refuses to run as root and its own user cannot enter {closed}: set DATA_DIR (and keep the "
            f"project) outside of it, run `chmod o+x {closed}`, or start as an ordinary user."
        )
    return Account(prefix=prefix)


def _closed_parents(folder: Path) -> list[Path]:
    return [parent for parent in reversed(folder.parents) if not parent.stat().st_mode & stat.S_IXOTH]


def _unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        pass
    if shutil.which("useradd") is None:
        return pwd.getpwnam("nobody")
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise EngineError(f"PostgreSQL refuses to run as root, and useradd failed: {made.stderr.strip()}")
    return pwd.getpwnam(NAME)


def _namespace_prefix() -> tuple[str, ...] | None:
    """A command in front of the server's in which root goes by another name, while files see root still."""
    somebody = next(entry for entry in pwd.getpwall() if entry.pw_uid)
    prefix = ("unshare", "--user", f"--map-user={somebody.pw_uid}", f"--map-group={somebody.pw_gid}")
    if shutil.which("unshare") is None:
        return None
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else None
