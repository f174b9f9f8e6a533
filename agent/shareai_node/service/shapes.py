"""What a service manager can do for the agent."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from enum import Enum

from shareai_node.errors import AgentError

_WITHIN_S = 90
"""A stop waits for the requests in flight."""


class State(Enum):
    RUNNING = "Installed and running."
    STOPPED = "Installed, and not running. See: shareai-node logs"
    ABSENT = "Not installed. Install it with: shareai-node service install"


class Service(ABC):
    @abstractmethod
    def install(self, *, boot: bool, start: bool) -> Iterator[str]:
        """Says what was done, line by line. A second time it brings what is installed up to date.

        Args: boot: Windows: with the machine's start, not with the user's session.
        Raises: AgentError.
        """

    @abstractmethod
    def uninstall(self) -> Iterator[str]:
        """Leaves nothing of `install`. Raises: AgentError."""

    @abstractmethod
    def state(self) -> State: ...

    @abstractmethod
    def restart(self) -> None:
        """Raises: AgentError."""


def told(command: Sequence[str]) -> str:
    """What a command of the system prints. Raises: AgentError: it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
    except FileNotFoundError:
        raise AgentError(f"{command[0]} is not there. Is this system's service manager installed?") from None
    except subprocess.TimeoutExpired:
        raise AgentError(f"{' '.join(command)} does not end. Try it by hand.") from None
    if done.returncode != 0:
        why = " ".join((done.stderr or done.stdout).split())[:300]
        raise AgentError(f"{' '.join(command)} failed: {why or done.returncode}")
    return done.stdout


def succeeds(command: Sequence[str]) -> bool:
    try:
        told(command)
    except AgentError:
        return False
    return True
