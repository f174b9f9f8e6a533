"""A desk: a screen that nobody sees, with a keyboard that tests press, a graphics card and a battery.

The screen is a real X server, so the agent's sensor reads what X counts since the last real input. The graphics card
is a program that speaks as NVIDIA's does, the battery a folder as Linux shows one, laid over the machine's own.
"""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.installers.conftest import tool

_SUPPLIES = Path("/sys/class/power_supply")
_CARD = '#!/bin/sh\necho "NVIDIA GeForce RTX 4090, 24564, 1024, $(cat "{figure}")"\n'
_LAY_OVER = f'mount --bind "$0" {_SUPPLIES} && exec "$@"'


class Desk:
    """
    Args:
        display: of X, such as ":5".
        has_battery: the agent of `prefix` sees one.
    """

    def __init__(self, folder: Path, display: str) -> None:
        self.display = display
        self._touched_s = time.monotonic()
        self._load = folder / "load"
        self._programs = folder / "bin"
        self._supplies = folder / "power"
        self._programs.mkdir(parents=True)
        card = self._programs / "nvidia-smi"
        card.write_text(_CARD.format(figure=self._load))
        card.chmod(0o755)
        self.card_is_busy(percent=3)
        for supply in "AC0", "BAT0":
            (self._supplies / supply).mkdir(parents=True)
        for name, value in ("type", "Battery"), ("energy_full", "50000000"), ("energy_now", "40000000"):
            (self._supplies / "BAT0" / name).write_text(f"{value}\n")
        (self._supplies / "AC0" / "type").write_text("Mains\n")
        self.pull_the_mains(False)
        self.has_battery = _may_lay_over(self._supplies)

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words before a command of whoever sits here."""
        path = f"PATH={self._programs}{os.pathsep}{os.environ['PATH']}"
        seat = ("env", "-u", "DBUS_SESSION_BUS_ADDRESS", "-u", "XDG_SESSION_TYPE", f"DISPLAY={self.display}", path)
        return (*seat, *_apart(self._supplies)) if self.has_battery else seat

    def quiet(self, seconds: float) -> None:
        """Returns when nobody has touched it for so long."""
        time.sleep(max(self._touched_s + seconds - time.monotonic(), 0))

    def press_a_key(self) -> None:
        words = ["env", f"DISPLAY={self.display}", tool("xdotool"), "key", "a"]
        subprocess.run(words, check=True, capture_output=True, timeout=20)
        self._touched_s = time.monotonic()

    def card_is_busy(self, percent: int) -> None:
        self._load.write_text(str(percent))

    def pull_the_mains(self, pulled: bool) -> None:
        (self._supplies / "AC0" / "online").write_text("0\n" if pulled else "1\n")
        (self._supplies / "BAT0" / "status").write_text("Discharging\n" if pulled else "Full\n")


def why_not() -> str:
    """Empty where a desk can be had."""
    missing = [f"no lib{name}" for name in ("X11", "Xss") if ctypes.util.find_library(name) is None]
    return ", ".join(missing)


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    tool("xdotool")
    read, write = os.pipe()
    # Nobody else shows anything here, and X would begin anew with each sensor that leaves it.
    words = [tool("Xvfb"), "-noreset", "-displayfd", str(write), "-screen", "0", "64x64x24", "-nolisten", "tcp"]
    with subprocess.Popen(words, pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with os.fdopen(read) as said:
            number = said.readline().strip()
        assert number, "X did not start"
        try:
            yield Desk(folder, f":{number}")
        finally:
            server.terminate()


def _apart(supplies: Path) -> tuple[str, ...]:
    return ("unshare", "--mount", "sh", "-c", _LAY_OVER, str(supplies))


def _may_lay_over(supplies: Path) -> bool:
    done = subprocess.run([*_apart(supplies), "true"], capture_output=True, timeout=20, check=False)
    return done.returncode == 0
