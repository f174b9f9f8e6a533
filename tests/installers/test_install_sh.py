"""install.sh, run for real by an unprivileged user with an empty home, against a running console."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shareai_node import __version__
from tests.installers.conftest import SCRIPTS
from tests.installers.machine import SYSTEM_PATH, Machine, machine
from tests.installers.shelf import Shelf
from tests.stack import GatewayProcess

pytestmark = [
    pytest.mark.usefixtures("package_index"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH"),
]
INSTALL_ONLY = ("--no-enroll", "--no-service")


@pytest.fixture(scope="module")
def console(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[GatewayProcess]:
    with django_db_blocker.unblock():
        process = GatewayProcess(tmp_path_factory.mktemp("console")).start()
        yield process
        process.stop()


@pytest.fixture
def home() -> Iterator[Machine]:
    with machine() as found:
        if not found.has_python():
            pytest.skip("the system has no Python 3.11 with venv for everybody")
        yield found


@pytest.fixture(scope="module")
def installed(console) -> Iterator[Machine]:
    """A machine on which it is installed. Tests that use it leave it so."""
    with machine() as found:
        if not found.has_python():
            pytest.skip("the system has no Python 3.11 with venv for everybody")
        done = found.install(console.url, *INSTALL_ONLY)
        assert done.returncode == 0, done.stderr
        yield found


@pytest.fixture
def shelf(built, tmp_path) -> Iterator[Shelf]:
    with Shelf(tmp_path / "shelf", built).open() as opened:
        yield opened


def test_it_installs_what_the_console_serves(installed, console):
    assert installed.run(installed.command, "--version").stdout.strip() == __version__
    assert installed.run(installed.command, "server", "list").returncode == 3  # works, and is not enrolled
    assert (installed.program / "current").resolve().parent == installed.program.resolve()


def test_again_it_changes_nothing(installed, console):
    before = installed.tree()
    done = installed.install(console.url, *INSTALL_ONLY)
    assert done.returncode == 0, done.stderr
    assert f"shareai-node {__version__} is installed already." in done.stdout
    assert installed.tree() == before


def test_a_dry_run_does_nothing(home, console):
    done = home.install(console.url, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert console.url in done.stdout
    assert home.tree() == {}


def test_another_version_takes_its_place_and_nothing_of_the_former_stays(installed, console):
    former = (installed.program / "current").resolve()
    (former / "installed").write_text("what another console had\n")
    done = installed.install(console.url, *INSTALL_ONLY)
    assert done.returncode == 0, done.stderr
    assert installed.run(installed.command, "--version").stdout.strip() == __version__
    assert not former.exists()
    assert len(list(installed.program.glob("env-*"))) == 1


def test_uninstalling_leaves_what_was_there_before(home, console):
    for path, text in {".config/other/settings": "kept", ".local/bin/mine": "#!/bin/sh\n", "notes": "kept"}.items():
        (home.home / path).parent.mkdir(parents=True, exist_ok=True)
        (home.home / path).write_text(text)
    for path in home.home.rglob("*"):
        os.chown(path, home.user.pw_uid, home.user.pw_gid)
    before = home.tree()
    assert home.install(console.url, *INSTALL_ONLY).returncode == 0
    home.run(home.command, "doctor")  # writes what it writes
    assert home.tree().keys() > before.keys()
    done = home.install(console.url, "--uninstall")
    assert done.returncode == 0, done.stderr
    assert home.tree() == before


def test_uninstalling_what_is_not_there_is_no_error(home, console):
    done = home.install(console.url, "--uninstall")
    assert (done.returncode, done.stderr) == (0, "")
    assert home.tree() == {}


def test_uninstalling_in_a_dry_run_removes_nothing(installed, console):
    before = installed.tree()
    done = installed.install(console.url, "--uninstall", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"would run: rm -rf {installed.program / 'current'}" in done.stdout
    assert installed.tree() == before


def test_a_file_that_is_not_as_listed_is_not_installed(home, shelf):
    shelf.wheel.write_bytes(shelf.wheel.read_bytes() + b"\0")
    done = home.install(shelf.url, *INSTALL_ONLY)
    assert done.returncode == 1
    assert "its checksum differs. Nothing was installed." in done.stderr
    assert home.tree() == {}


def test_dependencies_that_are_not_as_pinned_are_not_installed(home, shelf):
    for name in ("requirements.txt", "requirements-sensors.txt"):
        head, _, rest = (shelf.files / name).read_text().partition("--hash=sha256:")
        assert rest
        spoilt = f"{head}--hash=sha256:{'0' * 64}\n"  # the first of them alone: another content than the index has
        shelf.replace(shelf.files / name, spoilt.encode())
    done = home.install(shelf.url, *INSTALL_ONLY)
    assert done.returncode == 1
    assert "dependencies could not be installed" in done.stderr
    assert not list(home.program.glob("env-*"))


def test_a_version_that_does_not_start_replaces_nothing(installed, shelf):
    with zipfile.ZipFile(shelf.wheel) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    parts["shareai_node/cli.py"] = b"raise SystemExit('broken')\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as spoilt:
        for name, data in parts.items():
            if name.endswith("/RECORD"):  # pip compares nothing with it, and wants it to be there
                data = b"\n".join(f"{part},,".encode() for part in parts)
            spoilt.writestr(name, data)
    shelf.replace(shelf.wheel, buffer.getvalue())
    before = installed.tree()
    done = installed.install(shelf.url, *INSTALL_ONLY)
    assert done.returncode == 1
    assert "The installed agent does not start. What was there before is untouched." in done.stderr
    assert installed.tree() == before


def test_it_goes_through_a_proxy(home, shelf):
    """The console's name resolves nowhere, so only the proxy can have answered for it."""
    shelf.name("http://console.invalid")
    script = (shelf.folder / "install.sh").read_text()
    done = home.run("sh", "-s", "--", "--allow-http", *INSTALL_ONLY, given=script, HTTP_PROXY=shelf.url)
    assert done.returncode == 0, done.stderr
    assert f"http://console.invalid/nodes/v1/agent/{shelf.wheel.name}" in shelf.asked


def test_on_a_mac_it_goes_where_a_mac_keeps_such_things(home, console):
    """What the script would do there: nothing of macOS is tried but the name that it gives itself."""
    folder = home.home / "mac"
    folder.mkdir()
    (folder / "uname").write_text("#!/bin/sh\necho Darwin\n")
    (folder / "uname").chmod(0o755)
    done = home.install(console.url, "--dry-run", PATH=f"{folder}:{SYSTEM_PATH}")
    assert done.returncode == 0, done.stderr
    assert f"install it into {home.home}/Library/Application Support/shareai-node with" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--console", "http://ai.example.com"), "is not encrypted"),
        (("--console", "https://ai.example.com/path"), "more in it than a host"),
        (("--console", "https://a$(id)"), "more in it than a host"),
        (("--console", "ftp://a"), "is not the address of a console"),
        (("--console",), "--console needs a value"),
        (("--prefix", "relative"), "needs an absolute path"),
        (("--prefix", "/"), "needs a folder of its own"),
        (("--what",), "--what is not an option"),
        ((), "Which console?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_meant_is_told_in_one_line(home, options, said):
    done = home.run("sh", "-s", "--", *options, given=(SCRIPTS / "install.sh").read_text())
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert home.tree() == {}


@pytest.mark.parametrize(
    "words", [("--token", "sai-node-secret"), ("--token=sai-node-secret",), ("sai-node-secret",)]
)
def test_a_token_on_the_command_line_is_refused_and_not_repeated(home, words):
    done = home.run("sh", "-s", "--", *words, given=(SCRIPTS / "install.sh").read_text())
    assert done.returncode == 1
    assert "sai-node-secret" not in done.stdout + done.stderr


def test_a_console_that_is_away_is_told_in_one_sentence(home):
    options = ("--console", "http://127.0.0.1:9", *INSTALL_ONLY)
    done = home.run("sh", "-s", "--", *options, given=(SCRIPTS / "install.sh").read_text())
    assert done.returncode == 1
    assert "could not be fetched. Check that this machine reaches the console" in done.stderr
    assert home.tree() == {}


def test_without_a_token_it_says_where_one_comes_from(installed, console):
    done = installed.install(console.url, "--no-service")
    assert done.returncode == 1
    assert "Installed, but not enrolled: no token was given." in done.stderr


@pytest.mark.parametrize("system", [False, True], ids=["of a user", "of the machine"])
def test_systemd_accepts_the_unit(installed, tmp_path, system):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze on PATH")
    from shareai_node.service.systemd import unit_text

    unit: Path = tmp_path / "shareai-node.service"
    unit.write_text(unit_text([str(installed.program / "current/bin/python"), "-m", "shareai_node"], system=system))
    done = subprocess.run(
        [analyze, "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False
    )
    # It also reads the machine's other units and tells of theirs.
    assert [line for line in done.stderr.splitlines() if "shareai-node" in line] == []
    assert done.returncode == 0, done.stderr
