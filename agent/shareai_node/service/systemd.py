"""Linux: a system unit with a user of its own when root installs it, else a unit of the user's own session."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from shareai_node.errors import AgentError
from shareai_node.installation import own
from shareai_node.places import APP, SYSTEM_HOME
from shareai_node.service.shapes import Service, State, succeeds, told

UNIT = f"{APP}.service"
USER = APP
_SYSTEM_UNITS = Path("/etc/systemd/system")
_UNREACHABLE = ("/root/", "/home/")
"""The system unit sees neither."""

_COMMON = """\
[Unit]
Description=ShareAI node: offers this machine's models to its organisation
Documentation=https://github.com/shareai/shareai
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart={command} run
Restart=always
RestartSec=5
# Exit code 3: the console knows this machine no more. Only its owner can change that.
RestartPreventExitStatus=3
# Requests in flight are let finish.
TimeoutStopSec=40
KillMode=mixed
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
"""

_SYSTEM = """\
User={user}
Group={user}
StateDirectory={app}
StateDirectoryMode=0700
Environment=SHAREAI_NODE_HOME={home}
WorkingDirectory={home}
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
# AF_UNIX for the system bus (whether the machine is idle), AF_NETLINK for names.
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
CapabilityBoundingSet=
AmbientCapabilities=
# Devices stay visible: the load of graphics cards is read from them.
"""

_SYSTEM_INSTALL = "\n[Install]\nWantedBy=multi-user.target\n"
_USER_INSTALL = "\n[Install]\nWantedBy=default.target\n"


def unit_text(command: list[str], *, system: bool) -> str:
    """The unit's file."""
    text = _COMMON.format(command=" ".join(_quoted(word) for word in command))
    if not system:
        return text + _USER_INSTALL
    return text + _SYSTEM.format(user=USER, app=APP, home=SYSTEM_HOME) + _SYSTEM_INSTALL


class Systemd(Service):
    def __init__(self) -> None:
        self._system = os.geteuid() == 0
        self._control = ["systemctl"] if self._system else ["systemctl", "--user"]
        self._unit = (_SYSTEM_UNITS if self._system else _user_units()) / UNIT

    def install(self, *, boot: bool, start: bool) -> Iterator[str]:
        command = own().command
        if self._system:
            _refuse_unreachable(command)
            yield from _own_user()
        self._unit.parent.mkdir(parents=True, exist_ok=True)
        self._unit.write_text(unit_text(command, system=self._system))
        self._unit.chmod(0o644)
        yield f"Wrote {self._unit}."
        if start:
            told([*self._control, "daemon-reload"])
            told([*self._control, "enable", UNIT])
            told([*self._control, "restart", UNIT])
            yield "Started, and starts with this machine from now on."
        if start and not self._system and not succeeds(["loginctl", "enable-linger"]):
            yield "It runs while you are signed in. For always, as root: loginctl enable-linger " + _user_name()

    def uninstall(self) -> Iterator[str]:
        if not self._unit.exists():
            yield "There was no service."
            return
        # What was installed without being started cannot be stopped, and systemd may not run at all, as in a container.
        succeeds([*self._control, "disable", "--now", UNIT])
        self._unit.unlink()
        succeeds([*self._control, "daemon-reload"])
        yield f"Removed {self._unit}."
        if self._system and _exists(USER):
            told(["userdel", USER])
            shutil.rmtree(SYSTEM_HOME / ".cache", ignore_errors=True)
            _give_to_root(SYSTEM_HOME)
            yield f"Removed the user {USER}."

    def state(self) -> State:
        if not self._unit.exists():
            return State.ABSENT
        return State.RUNNING if succeeds([*self._control, "is-active", "--quiet", UNIT]) else State.STOPPED

    def restart(self) -> None:
        told([*self._control, "restart", UNIT])


def _own_user() -> Iterator[str]:
    """Its home holds the key that enrolment, which root ran, has put there."""
    if not _exists(USER):
        shell = shutil.which("nologin") or "/usr/sbin/nologin"
        told(["useradd", "--system", "--user-group", "--home-dir", str(SYSTEM_HOME), "--shell", shell, USER])
        yield f"Added the user {USER}."
    entry = pwd.getpwnam(USER)
    SYSTEM_HOME.mkdir(parents=True, exist_ok=True)
    _give(SYSTEM_HOME, entry.pw_uid, entry.pw_gid)
    SYSTEM_HOME.chmod(0o700)


def _give_to_root(folder: Path) -> None:
    """The number of a removed user may become somebody else's."""
    if folder.exists():
        _give(folder, 0, 0)


def _give(folder: Path, user: int, group: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, group, follow_symlinks=False)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _refuse_unreachable(command: list[str]) -> None:
    for word in command:
        # Both matter: a link from elsewhere leads there as well.
        for place in (word, os.path.realpath(word) if os.path.isabs(word) else word):
            if place.startswith(_UNREACHABLE):
                raise AgentError(
                    f"The service's own user cannot read {place}. Install the agent below /opt, "
                    "or install the service without root, for yourself."
                )


def _user_units() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "systemd" / "user"


def _user_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _quoted(word: str) -> str:
    """Source: https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html#Command%20lines"""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(letter.isspace() for letter in escaped) else escaped
