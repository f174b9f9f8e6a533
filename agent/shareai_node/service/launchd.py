"""macOS: an agent of the user's session, which can tell whether somebody is there; for root a daemon of the machine."""

from __future__ import annotations

import os
import plistlib
from collections.abc import Iterator
from pathlib import Path

from shareai_node.installation import own
from shareai_node.places import Places, places
from shareai_node.service.shapes import Service, State, succeeds, told

LABEL = "org.shareai.node"


def plist_bytes(command: list[str], where: Places, *, system: bool) -> bytes:
    """Source: https://keith.github.io/xcode-man-pages/launchd.plist.5.html"""
    wanted = {
        "Label": LABEL,
        "ProgramArguments": [*command, "run"],
        "RunAtLoad": True,
        # launchd cannot tell one failure from another, so a machine that was removed asks once in a while as well.
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 15,
        "ExitTimeOut": 40,
        "ProcessType": "Background",
        "Umask": 0o077,
        "StandardErrorPath": "/dev/null",
        "StandardOutPath": "/dev/null",
    }
    if system:
        wanted["EnvironmentVariables"] = {"SHAREAI_NODE_HOME": str(where.config_dir)}
    return plistlib.dumps(wanted)


class Launchd(Service):
    def __init__(self) -> None:
        self._system = os.geteuid() == 0
        self._domain = "system" if self._system else f"gui/{os.geteuid()}"
        folder = Path("/Library/LaunchDaemons") if self._system else Path.home() / "Library" / "LaunchAgents"
        self._plist = folder / f"{LABEL}.plist"

    def install(self, *, boot: bool, start: bool) -> Iterator[str]:
        self._plist.parent.mkdir(parents=True, exist_ok=True)
        self._plist.write_bytes(plist_bytes(own().command, places(), system=self._system))
        self._plist.chmod(0o644)
        yield f"Wrote {self._plist}."
        if start:
            succeeds(["launchctl", "bootout", f"{self._domain}/{LABEL}"])  # a former one, if there is one
            told(["launchctl", "bootstrap", self._domain, str(self._plist)])
            yield "Started, and starts by itself from now on."

    def uninstall(self) -> Iterator[str]:
        if not self._plist.exists():
            yield "There was no service."
            return
        succeeds(["launchctl", "bootout", f"{self._domain}/{LABEL}"])
        self._plist.unlink()
        yield f"Removed {self._plist}."

    def state(self) -> State:
        if not self._plist.exists():
            return State.ABSENT
        running = succeeds(["launchctl", "print", f"{self._domain}/{LABEL}"])
        return State.RUNNING if running else State.STOPPED

    def restart(self) -> None:
        told(["launchctl", "kickstart", "-k", f"{self._domain}/{LABEL}"])
