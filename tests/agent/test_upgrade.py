"""Another version in the place of this one, by real zipapps and processes, and back if it does not come up."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import venv
import zipapp
from collections.abc import Iterator
from pathlib import Path

import pytest

from shareai_node import __version__, config
from shareai_node.errors import UpgradeFailed
from shareai_node.installation import Installation, Kind, own
from shareai_node.releases import Offered, Release, numbers
from shareai_node.replacements import WheelReplacement
from shareai_node.service import Service, State
from shareai_node.upgrade import check, upgrade
from tests.agent.conftest import Home, clean_environment
from tests.agent.console import Console
from tests.architecture.modules import ROOT

NEWER = "9.9.9"


def sources(folder: Path, version: str, spoil: str = "") -> Path:
    """The agent's package as another version of it."""
    shutil.copytree(ROOT / "agent" / "shareai_node", folder / "shareai_node")
    module = folder / "shareai_node" / "__init__.py"
    module.write_text(module.read_text().replace(__version__, version))
    if spoil:
        verbs = folder / "shareai_node" / "agent.py"
        verbs.write_text(
            verbs.read_text().replace(
                "    async def run(self) -> None:\n", f"    async def run(self) -> None:\n        {spoil}\n", 1
            )
        )
    return folder


def archive(folder: Path, file: Path) -> Path:
    zipapp.create_archive(folder, file, main="shareai_node.cli:main", filter=lambda path: path.suffix == ".py")
    return file


class ByHand(Service):
    """A service manager of one process."""

    def __init__(self, home: Home, pyz: Path) -> None:
        self._home, self._pyz = home, pyz
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def install(self, *, boot: bool, start: bool) -> Iterator[str]:
        raise NotImplementedError

    def uninstall(self) -> Iterator[str]:
        raise NotImplementedError

    def state(self) -> State:
        return State.RUNNING if self.process is not None else State.STOPPED

    def restart(self) -> None:
        self.stop()
        environment = {name: value for name, value in clean_environment().items() if name != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [sys.executable, str(self._pyz), "--home", str(self._home.folder), "run"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._home.folder.parent,
            env=environment,
        )
        self.starts += 1

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(40)
            self.process = None


@pytest.fixture
def pyz(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    return archive(sources(tmp_path / "current", __version__), tmp_path / "bin" / "shareai-node.pyz")


@pytest.fixture
def installed(pyz: Path) -> Installation:
    return Installation(Kind.ZIPAPP, pyz, Path(sys.executable))


@pytest.fixture
def by_hand(home: Home, pyz: Path) -> Iterator[ByHand]:
    service = ByHand(home, pyz)
    yield service
    service.stop()


def offer(console: Console, version: str, **files: bytes) -> None:
    listed = [
        {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "url": f"{console.origin}/nodes/v1/agent/{name}"}
        for name, data in files.items()
    ]
    console.files = {**files, "latest.json": json.dumps({"version": version, "files": listed}).encode()}


async def run_upgrade(
    home: Home, installed: Installation, service: Service | None, within_s: float = 40
) -> list[str]:
    import asyncio

    loaded = config.load(home.places, {})
    steps = lambda: list(upgrade(home.places, loaded, installation=installed, service=service, within_s=within_s))  # noqa: E731
    return await asyncio.to_thread(steps)


def version_of(pyz: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(pyz), "--version"], capture_output=True, text=True, cwd=pyz.parent, env=environment
    )
    return done.stdout.strip()


async def test_a_newer_version_takes_the_place_and_connects(
    home: Home, console: Console, llama: str, installed, by_hand, tmp_path
):
    await home.enroll(console, "--server", llama)
    by_hand.restart()
    await console.connected()
    new = archive(sources(tmp_path / "new", NEWER), tmp_path / "new.pyz")
    offer(console, NEWER, **{"shareai-node.pyz": new.read_bytes()})
    assert "9.9.9 is offered" in await __import__("asyncio").to_thread(check, config.load(home.places, {}))
    said = await run_upgrade(home, installed, by_hand)
    assert said[-1] == f"Version {NEWER} is installed and connected."
    assert version_of(installed.place) == NEWER
    assert not home.places.former.exists()


async def test_one_that_does_not_come_up_is_taken_back(
    home: Home, console: Console, llama: str, installed, by_hand, tmp_path
):
    await home.enroll(console, "--server", llama)
    by_hand.restart()
    await console.connected()
    broken = archive(sources(tmp_path / "new", NEWER, "raise RuntimeError('broken')"), tmp_path / "new.pyz")
    offer(console, NEWER, **{"shareai-node.pyz": broken.read_bytes()})
    with pytest.raises(UpgradeFailed, match=rf"^Version {__version__} is back\. Version {NEWER} did not connect"):
        await run_upgrade(home, installed, by_hand, within_s=5)
    assert version_of(installed.place) == __version__
    await console.connected(2)  # the former one, again
    assert by_hand.starts == 3


async def test_one_that_does_not_start_never_takes_the_place(home: Home, console: Console, installed, tmp_path):
    await home.enroll(console)
    before = installed.place.read_bytes()
    for offered, version, why in (
        (b"#!/usr/bin/env python3\nnot a zipapp", NEWER, "does not start"),
        (before, NEWER, "calls itself"),
    ):
        offer(console, version, **{"shareai-node.pyz": offered})
        with pytest.raises(UpgradeFailed, match=why):
            await run_upgrade(home, installed, None)
        assert installed.place.read_bytes() == before


async def test_another_file_than_was_listed_is_refused(home: Home, console: Console, installed):
    await home.enroll(console)
    before = installed.place.read_bytes()
    offer(console, NEWER, **{"shareai-node.pyz": b"right"})
    console.files["shareai-node.pyz"] = b"wrong"
    with pytest.raises(UpgradeFailed, match="checksum differs"):
        await run_upgrade(home, installed, None)
    assert installed.place.read_bytes() == before
    assert not home.places.former.exists()


@pytest.mark.parametrize(
    "latest",
    [
        b"",
        b"[]",
        b'{"version": "9.9.9"}',
        b'{"version": "9.9.9", "files": [{"name": "a", "sha256": "x", "url": "a"}]}',
        json.dumps(
            {"version": "9", "files": [{"name": "a", "sha256": "0" * 64, "url": "https://evil.example/a"}]}
        ).encode(),
        json.dumps({"version": "9", "files": [{"name": "../a", "sha256": "0" * 64, "url": "a"}]}).encode(),
    ],
)
async def test_a_list_that_makes_no_sense(home: Home, console: Console, installed, latest):
    await home.enroll(console)
    console.files = {"latest.json": latest}
    with pytest.raises(UpgradeFailed, match="does not understand"):
        await run_upgrade(home, installed, None)


async def test_nothing_newer(home: Home, console: Console, installed):
    await home.enroll(console)
    for version in (__version__, "0.0.9"):
        offer(console, version)
        [said] = await run_upgrade(home, installed, None)
        assert said.endswith("nothing to do.")


async def test_a_checkout_is_left_to_git(home: Home, console: Console):
    assert own().kind is Kind.SOURCE
    await home.enroll(console)
    offer(console, NEWER)
    assert "runs from its source" in (await home.do("upgrade")).err
    assert (await home.do("upgrade", "--check")).out.startswith(f"Version {NEWER} is offered")


@pytest.mark.parametrize(("older", "newer"), [("0.9.0", "0.10.0"), ("1.0", "1.0.1"), ("0.1.0", "1.0.0")])
def test_versions_are_numbers(older, newer):
    assert numbers(older) < numbers(newer)


def wheel(folder: Path, version: str, spoil: bool = False) -> bytes:
    """As an installer would get it; by the format alone, so that no builder is needed."""
    import zipfile

    built = sources(folder, version)
    if spoil:
        (built / "shareai_node" / "cli.py").write_text("raise RuntimeError('broken')\n")
    name = f"shareai_node-{version}"
    file = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as packed:
        paths = sorted((built / "shareai_node").rglob("*.py"))
        for path in paths:
            packed.write(path, str(path.relative_to(built)))
        packed.writestr(
            f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: shareai-node\nVersion: {version}\n"
        )
        packed.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        record = [f"{path.relative_to(built)},," for path in paths]
        record += [f"{name}.dist-info/{part},," for part in ("METADATA", "WHEEL", "RECORD")]
        packed.writestr(f"{name}.dist-info/RECORD", "\n".join(record) + "\n")
    return file.read_bytes()


@pytest.fixture(scope="module")
def empty_environment(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("empty") / "env"
    venv.create(folder, with_pip=True)
    return folder


@pytest.fixture
def environment(empty_environment: Path, tmp_path: Path) -> Installation:
    """An environment with pip, whose dependencies are this one's."""
    folder = tmp_path / "env"
    shutil.copytree(empty_environment, folder, symlinks=True)  # modules that are compiled stay so
    python = folder / "bin" / "python"
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "shared.pth").write_text(f"{Path(config.__file__).parents[0].parents[0] / 'none'}\n{_site_of_this()}\n")
    first = tmp_path / f"shareai_node-{__version__}-py3-none-any.whl"
    first.write_bytes(wheel(tmp_path / "first", __version__))
    subprocess.run([str(python), "-m", "pip", "-q", "install", "--no-deps", "--no-index", str(first)], check=True)
    return Installation(Kind.WHEEL, site, python)


def _site_of_this() -> str:
    import httpx

    return str(Path(httpx.__file__).parents[1])


def version_in(environment: Installation) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*environment.command, "--version"], capture_output=True, text=True, cwd="/", env=clean)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("spoil", [False, True], ids=["good", "broken"])
async def test_a_wheel_in_its_environment(home: Home, console: Console, environment, tmp_path, spoil, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    await home.enroll(console)
    name = f"shareai_node-{NEWER}-py3-none-any.whl"
    offer(console, NEWER, **{name: wheel(tmp_path / "new", NEWER, spoil), "requirements.txt": b""})
    assert version_in(environment) == __version__
    if spoil:
        with pytest.raises(UpgradeFailed, match="is back"):
            await run_upgrade(home, environment, None)
        assert version_in(environment) == __version__
    else:
        await run_upgrade(home, environment, None)
        assert version_in(environment) == NEWER


def test_a_form_that_is_not_offered(tmp_path):
    release = Release(NEWER, (Offered("other.txt", "0" * 64, "http://a/other.txt"),))
    with pytest.raises(UpgradeFailed, match="in no form that fits"):
        WheelReplacement(Installation(Kind.WHEEL, tmp_path, tmp_path), release, tmp_path).fetch()
