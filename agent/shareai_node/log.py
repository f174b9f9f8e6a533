"""The agent's log: a file of its own on every system, and standard error for whoever watches. No secret, no prompt."""

from __future__ import annotations

import logging
import logging.handlers
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from shareai_node.errors import AgentError
from shareai_node.files import give_to_owner_of_folder

_LARGEST_BYTES = 2 << 20
_FORMER_FILES = 2
_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_LOOKS_EVERY_S = 0.5


def begin(path: Path, level: str) -> None:
    """Raises: AgentError: the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = logging.handlers.RotatingFileHandler(
            path, maxBytes=_LARGEST_BYTES, backupCount=_FORMER_FILES, encoding="utf-8"
        )
        path.chmod(0o600)
        give_to_owner_of_folder(path)
    except OSError as error:
        raise AgentError(f"The log {path} cannot be written: {error.strerror or error}. Check its owner.") from error
    shown = logging.StreamHandler(sys.stderr)
    for handler in (kept, shown):
        handler.setFormatter(logging.Formatter(_FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[kept, shown], force=True)
    for chatty in ("httpx", "httpcore", "websockets", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def last_lines(path: Path, count: int) -> list[str]:
    """Raises: AgentError: there is no log that can be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return list(deque(file, maxlen=max(count, 0)))
    except FileNotFoundError:
        raise AgentError(f"There is no log yet at {path}. Start the agent with: shareai-node run") from None
    except OSError as error:
        raise AgentError(
            f"{path} cannot be read: {error.strerror or error}. Try as the user it belongs to."
        ) from error


def following_lines(path: Path) -> Iterator[str]:
    """What comes from now on, without end, through the changes of files as they grow full."""
    file = path.open(encoding="utf-8", errors="replace")
    file.seek(0, 2)
    try:
        while True:
            line = file.readline()
            if line:
                yield line
                continue
            time.sleep(_LOOKS_EVERY_S)
            if path.exists() and path.stat().st_size < file.tell():
                file.close()
                file = path.open(encoding="utf-8", errors="replace")
    finally:
        file.close()
