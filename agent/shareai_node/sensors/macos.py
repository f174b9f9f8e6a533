"""macOS: the time since the last input of any device, as the system's registry keeps it."""

from __future__ import annotations

import re

from shareai_node.sensors.commands import output_of


def quiet_s() -> float | None:
    return quiet_from(output_of(["ioreg", "-c", "IOHIDSystem", "-d", "4"]) or "")


def quiet_from(registry: str) -> float | None:
    """Of `"HIDIdleTime" = 1234567890`, in nanoseconds."""
    found = re.search(r'"HIDIdleTime" = (\d+)', registry)
    return int(found[1]) / 1e9 if found else None


def on_battery() -> bool | None:
    return battery_from(output_of(["pmset", "-g", "batt"]) or "")


def battery_from(text: str) -> bool | None:
    """Of a first line such as `Now drawing from 'AC Power'`."""
    found = re.match(r"Now drawing from '(.+)'", text)
    return found[1] == "Battery Power" if found else None
