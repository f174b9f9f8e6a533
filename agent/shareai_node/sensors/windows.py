"""Windows: the last input of this user's session. A task that runs before anybody signs in sees none of it."""

from __future__ import annotations

import ctypes
from typing import Any

_UNKNOWN = 255
_TICKS = 1 << 32


class _LastInput(ctypes.Structure):
    """Source: https://learn.microsoft.com/windows/win32/api/winuser/ns-winuser-lastinputinfo"""

    _fields_ = [("size", ctypes.c_uint), ("tick_ms", ctypes.c_uint)]


class _PowerStatus(ctypes.Structure):
    """Source: https://learn.microsoft.com/windows/win32/api/winbase/ns-winbase-system_power_status"""

    _fields_ = [
        ("on_mains", ctypes.c_ubyte),
        ("charge", ctypes.c_ubyte),
        ("percent", ctypes.c_ubyte),
        ("saving", ctypes.c_ubyte),
        ("left_s", ctypes.c_uint),
        ("full_s", ctypes.c_uint),
    ]


def quiet_s() -> float | None:
    libraries = _libraries()
    if _session(libraries) == 0:
        return None  # services' own session: nobody ever types there
    last = _LastInput(ctypes.sizeof(_LastInput), 0)
    if not libraries.user32.GetLastInputInfo(ctypes.byref(last)):
        return None
    return quiet_between(last.tick_ms, libraries.kernel32.GetTickCount() % _TICKS)


def quiet_between(input_ms: int, now_ms: int) -> float:
    """The counter starts again after 49.7 days."""
    return ((now_ms - input_ms) % _TICKS) / 1000


def on_battery() -> bool | None:
    status = _PowerStatus()
    if not _libraries().kernel32.GetSystemPowerStatus(ctypes.byref(status)) or status.on_mains == _UNKNOWN:
        return None
    return bool(status.on_mains == 0)


def _session(libraries: Any) -> int | None:
    number = ctypes.c_uint(0)
    known = libraries.kernel32.ProcessIdToSessionId(libraries.kernel32.GetCurrentProcessId(), ctypes.byref(number))
    return number.value if known else None


def _libraries() -> Any:
    """`windll`, which exists nowhere else, so that this module can be read and tested anywhere."""
    return getattr(ctypes, "windll")  # noqa: B009
