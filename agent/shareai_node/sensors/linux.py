"""Linux: GNOME's Mutter, X's screen saver extension, or logind, whichever answers first.

A system service sees no user's desktop, so logind's idle hint is what remains to it; desktops set that hint after
the time of their own screen saver.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import time

from shareai_node.sensors.commands import output_of

_MUTTER = [
    "gdbus",
    "call",
    "--session",
    "--dest=org.gnome.Mutter.IdleMonitor",
    "--object-path=/org/gnome/Mutter/IdleMonitor/Core",
    "--method=org.gnome.Mutter.IdleMonitor.GetIdletime",
]
_LOGIND = ["loginctl", "show", "--property=IdleHint", "--property=IdleSinceHint"]


def quiet_s() -> float | None:
    for read in (_by_mutter, _by_screen_saver, _by_logind):
        if (seconds := read()) is not None:
            return seconds
    return None


def _by_mutter() -> float | None:
    if not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return None
    return mutter_from(output_of(_MUTTER) or "")


def mutter_from(text: str) -> float | None:
    """Of `(uint64 12345,)`, in milliseconds."""
    found = re.fullmatch(r"\(uint64 (\d+),\)", text.strip())
    return int(found[1]) / 1000 if found else None


def _by_logind() -> float | None:
    return logind_from(output_of(_LOGIND) or "", time.time(), time.monotonic())


def logind_from(text: str, now_s: float, uptime_s: float) -> float | None:
    """
    Args: uptime_s: since when it is quiet if nobody has been signed in since the start.
    """
    said = dict(line.partition("=")[::2] for line in text.splitlines())
    if said.get("IdleHint") == "no":
        return 0.0
    since = said.get("IdleSinceHint", "")
    if said.get("IdleHint") != "yes" or not since.isdecimal():
        return None
    return uptime_s if since == "0" else max(now_s - int(since) / 1_000_000, 0.0)


class _ScreenSaverInfo(ctypes.Structure):
    """Source: https://www.x.org/releases/current/doc/man/man3/Xss.3.xhtml"""

    _fields_ = [
        ("window", ctypes.c_ulong),
        ("state", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("til_or_since", ctypes.c_ulong),
        ("idle", ctypes.c_ulong),
        ("event_mask", ctypes.c_ulong),
    ]


def _by_screen_saver() -> float | None:
    """Of X itself. Under Wayland X sees only its own windows' input, hence nothing of the rest."""
    if not os.environ.get("DISPLAY") or os.environ.get("XDG_SESSION_TYPE") == "wayland":
        return None
    names = ctypes.util.find_library("X11"), ctypes.util.find_library("Xss")
    if None in names:
        return None
    x11, xss = (ctypes.CDLL(name) for name in names)
    x11.XOpenDisplay.restype = xss.XScreenSaverAllocInfo.restype = ctypes.c_void_p
    x11.XDefaultRootWindow.argtypes = x11.XCloseDisplay.argtypes = [ctypes.c_void_p]
    x11.XDefaultRootWindow.restype = ctypes.c_ulong
    x11.XFree.argtypes = [ctypes.c_void_p]
    xss.XScreenSaverQueryInfo.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p]
    display = x11.XOpenDisplay(None)
    if not display:
        return None
    info = xss.XScreenSaverAllocInfo()
    try:
        if not xss.XScreenSaverQueryInfo(display, x11.XDefaultRootWindow(display), info):
            return None
        return float(ctypes.cast(info, ctypes.POINTER(_ScreenSaverInfo)).contents.idle) / 1000
    finally:
        x11.XFree(info)
        x11.XCloseDisplay(display)
