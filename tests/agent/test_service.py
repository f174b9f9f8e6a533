"""What is given to each system's service manager, read back by that system's own reader where there is one here."""

from __future__ import annotations

import os
import plistlib
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from shareai_node import service
from shareai_node.errors import AgentError
from shareai_node.places import places
from shareai_node.service import systemd
from shareai_node.service.launchd import LABEL, plist_bytes
from shareai_node.service.shapes import State
from shareai_node.service.windows import task_xml
from tests.agent.conftest import Home, clean_environment
from tests.agent.console import Console

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="adds a user, as root does")


def verify(unit: Path, *words: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *words, str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "XDG_RUNTIME_DIR": str(unit.parent)},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@needs_systemd
@pytest.mark.parametrize("system", [True, False], ids=["system", "user"])
def test_systemd_takes_the_unit(tmp_path: Path, system: bool):
    unit = tmp_path / systemd.UNIT
    unit.write_text(systemd.unit_text([sys.executable, "-m", "shareai_node"], system=system))
    said = verify(unit, *([] if system else ["--user"]))
    assert [line for line in said.splitlines() if systemd.UNIT in line] == []


@needs_systemd
def test_the_system_unit_is_well_confined(tmp_path: Path):
    unit = tmp_path / systemd.UNIT
    unit.write_text(systemd.unit_text([sys.executable, "-m", "shareai_node"], system=True))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=40", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


def test_words_with_odd_letters_stay_words():
    text = systemd.unit_text(["/opt/a b/python", "100%", 'q"'], system=True)
    assert 'ExecStart="/opt/a b/python" 100%% q\\" run' in text


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch):
    """The system's folders, in a place where a test may write."""
    home = tmp_path / "var"
    monkeypatch.setattr(systemd, "SYSTEM_HOME", home)
    monkeypatch.setattr(systemd, "_SYSTEM_UNITS", tmp_path / "units")
    monkeypatch.setattr(systemd, "USER", "shareai-node-t")
    monkeypatch.setattr(systemd, "_UNREACHABLE", ())
    return tmp_path


@needs_root
def test_install_and_uninstall_leave_nothing(elsewhere: Path):
    (elsewhere / "var").mkdir(mode=0o755)
    (elsewhere / "var" / "identity.key").write_text("secret")
    here = systemd.Systemd()
    assert here.state() is State.ABSENT
    try:
        said = list(here.install(boot=False, start=False))
        owner = pwd.getpwnam("shareai-node-t")
        assert said[-1] == f"Wrote {elsewhere / 'units' / systemd.UNIT}."
        assert (elsewhere / "var" / "identity.key").stat().st_uid == owner.pw_uid
        assert (elsewhere / "var").stat().st_mode & 0o777 == 0o700
        assert owner.pw_shell.endswith("nologin")
        assert here.state() is not State.ABSENT
        assert list(here.install(boot=False, start=False)) == said[-1:]
    finally:
        told = list(here.uninstall())
    assert told[-1] == "Removed the user shareai-node-t."
    assert here.state() is State.ABSENT
    assert list((elsewhere / "units").iterdir()) == []
    assert (elsewhere / "var" / "identity.key").stat().st_uid == 0
    with pytest.raises(KeyError):
        pwd.getpwnam("shareai-node-t")
    assert list(here.uninstall()) == ["There was no service."]


@needs_root
def test_a_place_that_the_service_cannot_read_is_refused(elsewhere: Path, monkeypatch):
    monkeypatch.setattr(systemd, "_UNREACHABLE", ("/",))
    with pytest.raises(AgentError, match="cannot read"):
        list(systemd.Systemd().install(boot=False, start=False))
    assert not (elsewhere / "units").exists()


def python_of_everybody() -> tuple[str, str] | None:
    """An interpreter that another user may start, and where it finds the agent's libraries."""
    site = str(Path(httpx.__file__).parents[1])
    for python in (sys.executable, "/usr/bin/python3"):
        environment = clean_environment()
        path = f"{environment['PYTHONPATH']}:{site}"
        check = [python, "-c", "import shareai_node.cli"]
        try:
            subprocess.run(check, user="nobody", check=True, cwd="/", env={**environment, "PYTHONPATH": path})
        except (OSError, subprocess.CalledProcessError):
            continue
        return python, path
    return None


@needs_root
async def test_the_agent_runs_as_the_services_own_user(home: Home, console: Console, llama: str):
    """Enrolled by root, run by somebody who may do little else."""
    found = python_of_everybody()
    if found is None:
        pytest.skip("no interpreter here can be started by another user")
    python, libraries = found
    home = Home(home.folder, python)
    await home.enroll(console, "--server", llama, PYTHONPATH=libraries)
    home.folder.chmod(0o700)
    nobody = pwd.getpwnam("nobody")
    for file in (home.folder, *home.folder.iterdir()):
        os.chown(file, nobody.pw_uid, nobody.pw_gid)
    for folder in home.folder.parents:
        if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    async with home.running(user="nobody", PYTHONPATH=libraries):
        link = await console.connected()
        await link.until(lambda said: said["state"]["accepting"])
        assert (await home.do("pause", PYTHONPATH=libraries)).code == 0  # by root
        await link.until(lambda said: not said["state"]["accepting"])
        assert (home.folder / "switch.json").stat().st_uid == nobody.pw_uid


def test_macos_takes_the_list():
    where = places({"SHAREAI_NODE_HOME": "/somewhere"})
    told = plistlib.loads(plist_bytes(["/opt/env/bin/python", "-m", "shareai_node"], where, system=True))
    assert told["Label"] == LABEL
    assert told["ProgramArguments"] == ["/opt/env/bin/python", "-m", "shareai_node", "run"]
    assert told["EnvironmentVariables"] == {"SHAREAI_NODE_HOME": "/somewhere"}
    assert told["ExitTimeOut"] >= 30
    user = plistlib.loads(plist_bytes(["/bin/x"], where, system=False))
    assert "EnvironmentVariables" not in user


@pytest.mark.parametrize(("user", "trigger"), [("PC\\anna", "LogonTrigger"), ("", "BootTrigger")])
def test_windows_takes_the_task(user: str, trigger: str):
    data = task_xml(
        ["C:\\Program Files\\py\\pythonw.exe", "-m", "shareai_node"], user=user, home=None if user else "C:\\a b"
    )
    task = ElementTree.fromstring(data.decode("utf-16"))
    space = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    assert task.find(f"t:Triggers/t:{trigger}", space) is not None
    assert task.findtext("t:Actions/t:Exec/t:Command", namespaces=space) == "C:\\Program Files\\py\\pythonw.exe"
    words = "-m shareai_node run" if user else '-m shareai_node --home "C:\\a b" run'
    assert task.findtext("t:Actions/t:Exec/t:Arguments", namespaces=space) == words
    assert task.findtext("t:Principals/t:Principal/t:UserId", namespaces=space) == (user or "S-1-5-19")
    assert task.findtext("t:Settings/t:ExecutionTimeLimit", namespaces=space) == "PT0S"
    order = [child.tag.rpartition("}")[2] for child in task]
    assert order == ["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"]  # the schema's sequence


async def test_purging_leaves_nothing(home: Home, console: Console, llama: str):
    await home.enroll(console, "--server", llama)
    async with home.running():
        link = await console.connected()
        await link.until(lambda said: said["models"][0]["capabilities"]["chat"], within_s=60)
    await home.do("pause")
    assert home.folder.exists()
    service.purge(home.places)
    assert not home.folder.exists()


async def test_somebody_elses_file_is_left_alone(home: Home, console: Console):
    await home.enroll(console)
    (home.folder / "notes.txt").write_text("mine")
    service.purge(home.places)
    assert [path.name for path in home.folder.iterdir()] == ["notes.txt"]


async def test_a_service_of_nothing_is_not_installed(home: Home):
    assert (await home.do("service", "install")).code == 3
