"""Honcho's manager as `make run` needs it: it ends all on a hang-up too, early, and unread."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading

from honcho.manager import Manager
from honcho.printer import Message, Printer

from console.embedded.procfile import HERALD, Procfile
from console.embedded.wishes import PROJECT

ENDED_BY_SIGNAL = {128 + signal.SIGINT, 128 + signal.SIGTERM}
START_RETRY_S = 0.05


def supervise(procfile: Procfile) -> int:
    """Runs the processes until a signal comes or one of them ends; then ends all, and names the one.

    Each is in a process group of its own, which gets SIGTERM, and SIGKILL five seconds later.

    Returns:
        the exit status: 0 when a signal ended it, else that of the process that ended first, and never 0.
    """
    manager = _Manager(_Printer(sys.stdout))
    for name, command in procfile.commands.items():
        manager.add_process(name, f"exec {shlex.join(command)}", env=procfile.environment, cwd=str(PROJECT))
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it stays ignored
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    manager.loop()
    return 0 if manager.returncode in ENDED_BY_SIGNAL else manager.returncode or 1


class _Manager(Manager):  # type: ignore[misc]
    def terminate(self) -> None:
        """Honcho knows no pid to signal before a process has reported its start: ask again a little later."""
        if self._all_started():
            super().terminate()
        else:
            threading.Timer(START_RETRY_S, self.terminate).start()


class _Printer(Printer):  # type: ignore[misc]
    def write(self, message: Message) -> None:
        self.prefix = message.name != HERALD  # whose lines are for people to copy
        try:
            super().write(message)
        except OSError:  # whoever read us has gone, and there are processes to end all the same
            self.output = open(os.devnull, "w")  # noqa: SIM115 # stays open as long as this process
