"""Files that only their owner reads, and that are never half written."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from shareai_node.errors import AgentError

_LARGEST_BYTES = 4 << 20


def write_private(path: Path, data: bytes) -> None:
    """Replace a file, or make it, with mode 0600 from its first moment.

    Root keeps the folder's owner: the service, which runs as a user of its own, must read what root wrote for it.

    Raises: AgentError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            give_to_owner_of_folder(Path(name))
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise AgentError(f"{path} cannot be written: {error.strerror or error}. Check its folder's owner.") from error


def give_to_owner_of_folder(path: Path) -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        folder = path.parent.stat()
        os.chown(path, folder.st_uid, folder.st_gid)


def write_json(path: Path, value: Any) -> None:
    write_private(path, json.dumps(value, indent=2, sort_keys=True).encode() + b"\n")


def read_bytes(path: Path) -> bytes | None:
    """None: there is no such file. Raises: AgentError: there is one, and it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AgentError(
            f"{path} cannot be read: {error.strerror or error}. Run as the user who enrolled this machine."
        ) from error
    if len(data) > _LARGEST_BYTES:
        raise AgentError(f"{path} is too large to be the agent's. Remove it and enrol again.")
    return data


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object. None: there is no such file. Raises: AgentError: unreadable, or something else is in it."""
    data = read_bytes(path)
    if data is None:
        return None
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise AgentError(f"{path} is damaged. Remove it and enrol again.")
    return value
