"""What the end of a connection, or a try that failed, means for the next one. It waits for nothing and dials nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from websockets.exceptions import ConnectionClosed, InvalidStatus

from shareai_node import __version__
from shareai_node.config import Config
from shareai_node.connection import Silent
from shareai_node.faults import NETWORK_ERRORS, explain
from shareai_node.handshake import NotAConsole
from shareai_node.tunnel.errors import ProtocolViolation

FAILURES = (*NETWORK_ERRORS, ConnectionClosed, NotAConsole, ProtocolViolation, Silent)
"""What a connection may raise, from the dial to its end."""

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0
_SHARE = 0.25
"""Of the time since the trouble began. Nobody stays away for long after a short outage, and a console that was away for
long is not met by everybody at once."""

_STEADY_AFTER_S = 30.0


class Next(Enum):
    RETRY = auto()
    SOON = auto()
    """The console is fine and asks to be called again."""

    STOP = auto()
    """Nothing but a person can change it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Args:
        said: one line for the log and for `status`.
        least_wait_s: before the next try, whatever the back-off says.
    """

    then: Next
    said: str
    least_wait_s: float = 0.0


def classify(error: BaseException, config: Config) -> Verdict:
    """
    Args: error: one of FAILURES.
    """
    if isinstance(error, ConnectionClosed):
        return _of_close(error, config)
    if isinstance(error, InvalidStatus):
        return _of_status(error.response.status_code, config)
    if isinstance(error, NotAConsole):
        return Verdict(
            Next.RETRY, f"What answers at {config.connect_url} is no ShareAI console ({error}). Check its proxy.", 10
        )
    if isinstance(error, ProtocolViolation):
        return Verdict(Next.RETRY, f"The console broke the protocol ({error}). Upgrade whichever is older.", 5)
    if isinstance(error, Silent):
        return Verdict(Next.RETRY, f"The connection went dead: {error}.")
    return Verdict(Next.RETRY, explain(error, config.connect_url))


def _of_close(error: ConnectionClosed, config: Config) -> Verdict:
    code = error.rcvd.code if error.rcvd is not None else 1006
    reason = error.rcvd.reason if error.rcvd is not None else ""
    again = f"Enrol again: shareai-node enroll {config.console} --replace --token-file FILE"
    match code:
        case 4400 | 4408:
            return Verdict(Next.RETRY, f"The console did not understand this node ({reason or code}).", 10)
        case 4401:
            return Verdict(
                Next.RETRY, f"{config.console} does not know this machine, or by another address. {again}", 60
            )
        case 4403:
            return Verdict(Next.STOP, f"This machine was removed in the console. {again}")
        case 4409:
            return Verdict(
                Next.RETRY, "Another copy of this agent connected with the same key. Stop one of the two.", 30
            )
        case 4426:
            return Verdict(
                Next.RETRY,
                f"The console does not speak with version {__version__} any more. Run: shareai-node upgrade",
                60,
            )
        case 1000 | 1001 | 1012:
            return Verdict(Next.SOON, "The console restarts.")
        case _:
            return Verdict(Next.RETRY, f"The connection ended ({code}{': ' + reason if reason else ''}).")


def _of_status(status: int, config: Config) -> Verdict:
    if status in (429, 502, 503, 504):
        return Verdict(Next.RETRY, f"{config.console} is not ready ({status}).")
    if status == 404:
        return Verdict(
            Next.RETRY, f"{config.console} has no place for nodes to connect. Is its proxy set up for it?", 10
        )
    return Verdict(
        Next.RETRY, f"{config.console} refused the connection ({status}). Its proxy must pass WebSockets on.", 10
    )


class Backoff:
    """Full jitter: a wait is anything between nothing and a limit that grows, so that many nodes do not come at once.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ It grows with the time, not with
    the tries: of many nodes some draw short waits over and over, and would be punished for them.
    """

    def __init__(
        self, chance: random.Random | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._chance = chance or random.SystemRandom()
        self._clock = clock
        self._began_s: float | None = None
        """The trouble."""

    def wait_s(self, verdict: Verdict) -> float:
        """Before the next try; each call is one more failure, unless the console asked for it."""
        if verdict.then is Next.SOON:
            return self._chance.uniform(0, 2)
        if self._began_s is None:
            self._began_s = self._clock()
        return verdict.least_wait_s + self._chance.uniform(0, self._limit_s())

    def lived(self, seconds: float) -> None:
        """A connection ended that was good for so long. If that is longer than it could have been waited for, the
        trouble is over; what lets in and drops over and over is asked ever more seldom all the same."""
        if seconds > min(self._limit_s(), _STEADY_AFTER_S):
            self._began_s = None

    def _limit_s(self) -> float:
        trouble_s = 0.0 if self._began_s is None else self._clock() - self._began_s
        return min(_LONGEST_WAIT_S, max(_FIRST_WAIT_S, _SHARE * trouble_s))
