"""Child processes of the bench, and what the kernel charged them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

_TICK_NANOS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class GatewayError(Exception):
    """A gateway could not be built or started, or did not answer; the text says why."""


def free_port() -> int:
    """A port that was free a moment ago, for servers that cannot say which one they took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Child:
    """A process with its descendants, in a group of its own; its output goes to a file."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "NO_PROXY": "127.0.0.1", **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_s: float = 90.0) -> None:
        """Polls `ready`.

        Raises:
            GatewayError: the process ended or the time is over; with the end of its output.
        """
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                raise GatewayError(f"{what} ended with code {self._process.returncode}: {self.last_words()}")
            if ready():
                return
            time.sleep(0.1)
        raise GatewayError(f"{what} was not ready after {timeout_s:g} s: {self.last_words()}")

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def last_words(self, characters: int = 1500) -> str:
        return self._log.read_text(errors="replace")[-characters:].strip()

    def stop(self) -> None:
        """Ends the whole group: politely, then not."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, signum)
                self._process.wait(timeout=10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def tree(roots: Iterable[int]) -> list[int]:
    """The processes and all their descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, ()))
    return found


def cpu_nanos(roots: Iterable[int]) -> int:
    """CPU time, user and system, that the trees have used since they started.

    Read from each process's CPU clock, which counts what utime + stime count, but in nanoseconds instead
    of ticks of 10 ms. A descendant that ended is found in its parent's cutime + cstime.

    Raises:
        GatewayError: a root is gone.
    """
    total = 0
    roots = list(roots)
    for pid in tree(roots):
        fields = _stat(pid)
        if fields is None:
            if pid in roots:
                raise GatewayError(f"process {pid} is gone")
            continue
        total += _clock_nanos(pid) + (int(fields[13]) + int(fields[14])) * _TICK_NANOS
    return total


def _clock_nanos(pid: int) -> int:
    # Source: clock_getcpuclockid(3): the id of a process's clock is its complemented pid and kind 2.
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0  # ended between the two looks


def _stat(pid: int) -> list[str] | None:
    """/proc/PID/stat after the command name: state is 0, ppid 1, utime 11 … cstime 14."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def rss_mb(roots: Iterable[int], peak: bool = False) -> float:
    """Resident memory of the largest process of the trees: a master that only waits is no figure."""
    return max((_rss_mb(pid, "VmHWM:" if peak else "VmRSS:") for pid in tree(roots)), default=0.0)


def _rss_mb(pid: int, line_name: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    kilobytes = next((int(line.split()[1]) for line in lines if line.startswith(line_name)), 0)
    return kilobytes / 1024
