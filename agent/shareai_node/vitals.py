"""How busy this machine is: processor, memory, battery; `shareai_node.gpus` reads the graphics cards.

psutil where it is installed, else what Linux tells in /proc and /sys. None: cannot be read.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shareai_node.gpus import Gpu, GpuReader

try:
    import psutil
except ImportError:
    psutil = None

_SUPPLIES = Path("/sys/class/power_supply")


@dataclass(frozen=True, slots=True)
class Vitals:
    gpus: tuple[Gpu, ...]
    cpu_load: float | None
    ram_total_bytes: int | None
    ram_used_bytes: int | None
    on_battery: bool | None

    @property
    def load(self) -> float | None:
        """Of the busiest GPU; of the processor where there is no GPU to be read."""
        if not self.gpus:
            return self.cpu_load
        loads = [gpu.load for gpu in self.gpus if gpu.load is not None]
        return max(loads) if loads else None


class VitalsReader:
    def __init__(self) -> None:
        self._gpus = GpuReader()
        self._processor = ProcessorTime()

    def read(self) -> Vitals:
        """Takes up to a second where a GPU's figures come from a command; not for the event loop."""
        total, used = memory()
        return Vitals(self._gpus.read(), self._processor.load(), total, used, on_battery())

    def close(self) -> None:
        self._gpus.close()


class ProcessorTime:
    """The processor's load since the last look; None at the first."""

    def __init__(self) -> None:
        self._former = _busy_and_all()

    def load(self) -> float | None:
        current = _busy_and_all()
        former, self._former = self._former, current
        if former is None or current is None or current[1] <= former[1]:
            return None
        return round(min(max((current[0] - former[0]) / (current[1] - former[1]), 0.0), 1.0), 3)


def memory() -> tuple[int | None, int | None]:
    """Total and used bytes; what can be reclaimed at once is not used."""
    if psutil is not None:
        seen = psutil.virtual_memory()
        return int(seen.total), int(seen.total - seen.available)
    return memory_from(_text(Path("/proc/meminfo")))


def memory_from(meminfo: str) -> tuple[int | None, int | None]:
    kilobytes = {}
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if value.strip().endswith("kB"):
            kilobytes[name] = int(value.split()[0])
    total, available = kilobytes.get("MemTotal"), kilobytes.get("MemAvailable")
    if total is None or available is None:
        return None, None
    return total * 1024, (total - available) * 1024


def on_battery() -> bool | None:
    """False as well for a machine that has none."""
    if psutil is not None and hasattr(psutil, "sensors_battery"):
        battery = psutil.sensors_battery()
        if battery is None:
            return False
        return None if battery.power_plugged is None else not battery.power_plugged
    if sys.platform.startswith("linux"):
        return on_battery_from(_SUPPLIES)
    if sys.platform == "win32":
        from shareai_node.sensors.windows import on_battery as on_battery_of_windows

        return on_battery_of_windows()
    if sys.platform == "darwin":
        from shareai_node.sensors.macos import on_battery as on_battery_of_macos

        return on_battery_of_macos()
    return None


def on_battery_from(supplies: Path) -> bool | None:
    """Of the folder in which Linux shows its power supplies. A mouse's battery is not the machine's."""
    try:
        found = sorted(supplies.iterdir())
    except OSError:
        return False
    batteries = [one for one in found if _word(one, "type") == "Battery" and _word(one, "scope") != "Device"]
    mains = [_word(one, "online") for one in found if _word(one, "type") in ("Mains", "USB")]
    if not batteries:
        return False
    if "1" in mains:
        return False
    return True if mains else "Discharging" in [_word(one, "status") for one in batteries]


def _busy_and_all() -> tuple[float, float] | None:
    if psutil is not None:
        seen: Any = psutil.cpu_times()
        return _of_times({name: getattr(seen, name) for name in seen._fields})
    words = _text(Path("/proc/stat")).partition("\n")[0].split()[1:]
    if len(words) < 4:
        return None
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
    ticks = os.sysconf("SC_CLK_TCK")
    return _of_times({name: int(word) / ticks for name, word in zip(names, words, strict=False)})


def _of_times(times: dict[str, float]) -> tuple[float, float]:
    """Guests' time is in `user` as well."""
    everything = sum(value for name, value in times.items() if not name.startswith("guest"))
    return everything - times.get("idle", 0) - times.get("iowait", 0), everything


def _word(folder: Path, name: str) -> str:
    return _text(folder / name).strip()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
