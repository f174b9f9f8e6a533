"""How long nobody has touched this machine. Each system has a way of its own; where none works the answer is None."""

from __future__ import annotations

import sys


def quiet_s() -> float | None:
    """Seconds since the last input; None: cannot be read. May run commands: not for the event loop."""
    if sys.platform == "win32":
        from shareai_node.sensors import windows

        return windows.quiet_s()
    if sys.platform == "darwin":
        from shareai_node.sensors import macos

        return macos.quiet_s()
    if sys.platform.startswith("linux"):
        from shareai_node.sensors import linux

        return linux.quiet_s()
    return None
