"""Running in the background, by whatever this system has for it: systemd, launchd, or the Task Scheduler."""

from __future__ import annotations

import shutil
import sys

from shareai_node.errors import AgentError
from shareai_node.files import read_bytes
from shareai_node.places import Places
from shareai_node.service.shapes import Service, State

__all__ = ["Service", "State", "here", "purge"]


def here() -> Service:
    """Raises: AgentError: this system has none that is known."""
    if sys.platform == "win32":
        from shareai_node.service.windows import TaskScheduler

        return TaskScheduler()
    if sys.platform == "darwin":
        from shareai_node.service.launchd import Launchd

        return Launchd()
    if shutil.which("systemctl"):
        from shareai_node.service.systemd import Systemd

        return Systemd()
    raise AgentError(
        "This system has no systemd. Have its own service manager run: shareai-node run (see its README)."
    )


def purge(where: Places) -> None:
    """Removes every file the agent wrote, and its folders if nothing else is in them."""
    if read_bytes(where.control) is not None:
        where.control.unlink()
    for pattern in ("config.json", "identity.key", "identity.*.pending"):
        for path in where.config_dir.glob(pattern):
            path.unlink()
    for path in (where.switch, where.probes):
        path.unlink(missing_ok=True)
    shutil.rmtree(where.former, ignore_errors=True)
    for path in where.log_dir.glob("agent.log*"):
        path.unlink()
    for folder in (where.log_dir, where.state_dir, where.config_dir):
        try:
            folder.rmdir()
        except OSError:
            continue  # gone with another of them, or somebody keeps files there
