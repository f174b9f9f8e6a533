"""Life and death of an engine's process, the same for every engine."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

POLL_S = 0.02
INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOG_TAIL_LINES = 15


class EngineError(Exception):
    """An engine cannot run here. The message is one sentence for whoever typed the command."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine: its name for people, the URL for settings, its process and what that writes down."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def stopped(self) -> bool:
        return self.process.poll() is not None


def notice(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Lets signals wait whose handlers raise: nothing may come between the start of a process and its owner."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    handlers = {number: signal.getsignal(number) for number in INTERRUPTING}
    replaced = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in replaced:
        signal.signal(number, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
        for late in waiting:
            signal.raise_signal(late)


def wait_until_up(
    name: str, process: subprocess.Popen[bytes], answers: Callable[[], bool], log: Path, within_s: float
) -> None:
    """Returns when `answers()` is true.

    Raises:
        EngineError: the process ended before, or took longer than `within_s`; with the end of its log.
    """
    give_up_at = time.monotonic() + within_s
    while not answers():
        if process.poll() is not None:
            raise EngineError(f"{name} stopped with status {process.returncode}.{_tail(log)}")
        if time.monotonic() > give_up_at:
            raise EngineError(f"{name} did not answer within {within_s:g} s.{_tail(log)}")
        time.sleep(POLL_S)


def stop(process: subprocess.Popen[bytes], ask: signal.Signals, within_s: float = 20) -> None:
    """Asks the process to end, and kills it when it has not ended in time."""
    if process.poll() is not None:
        return
    process.send_signal(ask)
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_leftovers(program: str, folder: Path, ask: signal.Signals, within_s: float = 20) -> int:
    """Ends servers that an unclean stop left running on `folder`, and returns how many there were.

    They are recognised by their working directory, which both engines keep on their data: a pid file may name a
    process that has nothing to do with us by now.
    """
    left = [
        process
        for process in psutil.process_iter(["name", "cwd", "ppid"])
        if program in (process.info["name"] or "") and process.info["cwd"] == str(folder)
    ]
    pids = {process.pid for process in left}
    for process in left:
        if process.info["ppid"] not in pids:  # children follow their parent
            with suppress(psutil.NoSuchProcess):
                process.send_signal(ask)
    for process in alive_after(left, within_s):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    alive_after(left, within_s)
    return len(left)


def alive_after(processes: list[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Those still alive when the time is over. A zombie is dead: its parent is only slow to notice."""
    give_up_at = time.monotonic() + within_s
    while alive := [process for process in processes if is_alive(process)]:
        if time.monotonic() > give_up_at:
            break
        time.sleep(POLL_S)
    return alive


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []
    return "".join(f"\n    {line}" for line in [f"The end of {log}:", *lines]) if lines else ""
