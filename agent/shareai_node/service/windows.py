"""Windows: a scheduled task. By default the user's own, from sign-in on, which can tell whether somebody is there;
by `--boot` one of the machine's LocalService account, from the machine's start on, which cannot.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from shareai_node import control
from shareai_node.errors import AgentError
from shareai_node.installation import own
from shareai_node.places import places
from shareai_node.service.shapes import Service, State, succeeds, told

TASK = "ShareAI node"
_SPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_LOCAL_SERVICE = "S-1-5-19"
_STOPS_WITHIN_S = 40


def task_xml(command: list[str], *, user: str, home: str | None) -> bytes:
    """The task's definition.

    Args:
        user: whose session it belongs to; empty: the machine's own.
        home: where it keeps its files; None: in the user's folders.
    Source: https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema
    """
    task = Element("Task", {"version": "1.3", "xmlns": _SPACE})
    SubElement(SubElement(task, "RegistrationInfo"), "Description").text = "Offers this machine's models"
    trigger = SubElement(SubElement(task, "Triggers"), "LogonTrigger" if user else "BootTrigger")
    SubElement(trigger, "Enabled").text = "true"
    if user:
        SubElement(trigger, "UserId").text = user
    principal = SubElement(SubElement(task, "Principals"), "Principal", {"id": "Author"})
    SubElement(principal, "UserId").text = user or _LOCAL_SERVICE
    if user:
        SubElement(principal, "LogonType").text = "InteractiveToken"
    SubElement(principal, "RunLevel").text = "LeastPrivilege"
    _add_settings(task)
    action = SubElement(SubElement(task, "Actions", {"Context": "Author"}), "Exec")
    SubElement(action, "Command").text = command[0]
    home_words = [] if home is None else ["--home", home]
    SubElement(action, "Arguments").text = subprocess.list2cmdline([*command[1:], *home_words, "run"])
    return b'<?xml version="1.0" encoding="UTF-16"?>\n'.decode().encode("utf-16") + tostring(
        task, encoding="unicode"
    ).encode("utf-16-le")


def _add_settings(task: Element) -> None:
    settings = SubElement(task, "Settings")
    restart = SubElement(settings, "RestartOnFailure")
    SubElement(restart, "Interval").text = "PT1M"
    SubElement(restart, "Count").text = "999"
    for name, value in (
        ("MultipleInstancesPolicy", "IgnoreNew"),
        ("DisallowStartIfOnBatteries", "false"),  # the agent itself minds the battery
        ("StopIfGoingOnBatteries", "false"),
        ("StartWhenAvailable", "true"),
        ("ExecutionTimeLimit", "PT0S"),
        ("Priority", "7"),
    ):
        SubElement(settings, name).text = value


class TaskScheduler(Service):
    def install(self, *, boot: bool, start: bool) -> Iterator[str]:
        user = "" if boot else f"{os.environ.get('USERDOMAIN', '.')}\\{os.environ['USERNAME']}"
        home = str(places().config_dir) if boot else None
        if home is not None:
            told(
                [
                    "icacls",
                    home,
                    "/inheritance:r",
                    "/grant:r",
                    f"*{_LOCAL_SERVICE}:(OI)(CI)F",
                    "*S-1-5-32-544:(OI)(CI)F",
                ]
            )
        with tempfile.TemporaryDirectory() as folder:
            definition = Path(folder) / "task.xml"
            definition.write_bytes(task_xml(_windowless(own().command), user=user, home=home))
            told(["schtasks", "/Create", "/TN", TASK, "/XML", str(definition), "/F"])
        yield f'Made the task "{TASK}".'
        if start:
            told(["schtasks", "/Run", "/TN", TASK])
            yield "Started, and starts by itself from now on."

    def uninstall(self) -> Iterator[str]:
        if self.state() is State.ABSENT:
            yield "There was no service."
            return
        self._stop()
        told(["schtasks", "/Delete", "/TN", TASK, "/F"])
        yield f'Removed the task "{TASK}".'

    def state(self) -> State:
        if not succeeds(["schtasks", "/Query", "/TN", TASK]):
            return State.ABSENT
        running = control.find_running(places().control) is not None
        return State.RUNNING if running else State.STOPPED

    def restart(self) -> None:
        self._stop()
        told(["schtasks", "/Run", "/TN", TASK])

    def _stop(self) -> None:
        """The scheduler only kills; asked by its own control the agent lets requests in flight finish."""
        where = places()
        try:
            control.ask(where.control, "stop")
        except AgentError:
            succeeds(["schtasks", "/End", "/TN", TASK])
        deadline_s = time.monotonic() + _STOPS_WITHIN_S
        while control.find_running(where.control) is not None and time.monotonic() < deadline_s:
            time.sleep(0.5)
        succeeds(["schtasks", "/End", "/TN", TASK])


def _windowless(command: list[str]) -> list[str]:
    """pythonw opens no console window."""
    quiet = Path(command[0]).with_name("pythonw.exe")
    return [str(quiet), *command[1:]] if quiet.exists() else command
