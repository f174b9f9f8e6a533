"""Finds and ends what a run left behind when it was killed and could clean up nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from console.embedded.engine import alive_after

MARK = "SHAREAI_RUN"  # in the environment of everything that a run starts; names its data folder
WITHIN_S = 5


def end_processes(data_dir: Path) -> int:
    """Ends all that a run on this folder started, this process excepted, and returns how many there were."""
    left = list(_marked(data_dir))
    for process in left:
        _signal_group(process, signal.SIGTERM)
    for process in alive_after(left, WITHIN_S):
        _signal_group(process, signal.SIGKILL)
    alive_after(left, WITHIN_S)
    return len(left)


def _marked(data_dir: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(data_dir) and process.pid != os.getpid():
                yield process


def _signal_group(process: psutil.Process, number: signal.Signals) -> None:
    """Each was started as the leader of its group; what it started itself is in there with it."""
    with suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
