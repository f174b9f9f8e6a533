"""The graphics cards: NVIDIA by its library or its command, AMD by what Linux shows, Apple by `ioreg`.

A card that is there but cannot be read has load None, which idle time takes as busy. No card at all is an empty
tuple.
"""

from __future__ import annotations

import plistlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shareai_node.sensors.commands import output_of

try:
    import pynvml
except ImportError:
    pynvml = None

_CARDS = Path("/sys/class/drm")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Gpu:
    """
    Args: load: 0 to 1.
    """

    name: str
    vram_total_bytes: int | None
    vram_used_bytes: int | None
    load: float | None


class GpuReader:
    """Finds out once how this machine's cards are read."""

    def __init__(self) -> None:
        self._has_library = _opened()
        self._how: list[Callable[[], tuple[Gpu, ...]]] = []
        ways = [nvidia_by_library if self._has_library else nvidia_by_command]
        ways += [apple] if sys.platform == "darwin" else [amd]
        for way in ways:
            if way():
                self._how.append(way)

    def read(self) -> tuple[Gpu, ...]:
        return tuple(gpu for way in self._how for gpu in way())

    def close(self) -> None:
        if self._has_library:
            pynvml.nvmlShutdown()
            self._has_library, self._how = False, []


def _opened() -> bool:
    if pynvml is None:
        return False
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


def nvidia_by_library() -> tuple[Gpu, ...]:
    try:
        return tuple(
            _nvidia_card(pynvml.nvmlDeviceGetHandleByIndex(number)) for number in range(pynvml.nvmlDeviceGetCount())
        )
    except pynvml.NVMLError:
        return (Gpu("NVIDIA", None, None, None),)


def _nvidia_card(card: Any) -> Gpu:
    name = pynvml.nvmlDeviceGetName(card)
    memory = pynvml.nvmlDeviceGetMemoryInfo(card)
    try:
        load = pynvml.nvmlDeviceGetUtilizationRates(card).gpu / 100
    except pynvml.NVMLError:  # some cards do not tell
        load = None
    return Gpu(name.decode() if isinstance(name, bytes) else str(name), int(memory.total), int(memory.used), load)


def nvidia_by_command() -> tuple[Gpu, ...]:
    asked = "--query-gpu=name,memory.total,memory.used,utilization.gpu"
    return nvidia_from(output_of(["nvidia-smi", asked, "--format=csv,noheader,nounits"]) or "")


def nvidia_from(table: str) -> tuple[Gpu, ...]:
    gpus = []
    for line in table.splitlines():
        name, *figures = [word.strip() for word in line.rsplit(",", 3)]
        if len(figures) == 3:
            total, used, percent = (_number(figure) for figure in figures)
            gpus.append(Gpu(name, _mib(total), _mib(used), None if percent is None else percent / 100))
    return tuple(gpus)


def amd(cards: Path = _CARDS) -> tuple[Gpu, ...]:
    """Source: https://docs.kernel.org/gpu/amdgpu/thermal.html (gpu_busy_percent) and .../driver-misc.html"""
    gpus = []
    for busy in sorted(cards.glob("card*/device/gpu_busy_percent")):
        device = busy.parent
        percent = _number(_text(busy))
        name = _text(device / "product_name").strip() or "AMD"
        total, used = _number(_text(device / "mem_info_vram_total")), _number(_text(device / "mem_info_vram_used"))
        gpus.append(Gpu(name, total, used, None if percent is None else percent / 100))
    return tuple(gpus)


def apple() -> tuple[Gpu, ...]:
    return apple_from(output_of(["ioreg", "-r", "-d", "1", "-c", "IOAccelerator", "-a"]) or "")


def apple_from(plist: str) -> tuple[Gpu, ...]:
    """Their memory is the machine's, so only what is in use of it is told."""
    try:
        entries = plistlib.loads(plist.encode()) if plist.strip() else []
    except (ValueError, plistlib.InvalidFileException):
        entries = []
    gpus = []
    for entry in entries if isinstance(entries, list) else []:
        figures = entry.get("PerformanceStatistics", {}) if isinstance(entry, dict) else {}
        percent, used = figures.get("Device Utilization %"), figures.get("In use system memory")
        if isinstance(percent, int):
            gpus.append(Gpu(str(entry.get("model", "Apple GPU")), None, used, percent / 100))
    return tuple(gpus)


def _mib(value: int | None) -> int | None:
    return None if value is None else value * _MIB


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
