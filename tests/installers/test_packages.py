"""What `agent/build.py` makes: whole, reproducible, and running."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from shareai_node import __version__
from tests.installers.conftest import AGENT, ROOT, build_into, tool

NAMES = {
    f"shareai_node-{__version__}-py3-none-any.whl",
    "shareai-node.pyz",
    f"shareai-node_{__version__}_all.deb",
    "requirements.txt",
    "requirements-sensors.txt",
}


def wheel_of(folder: Path) -> Path:
    (wheel,) = folder.glob("*.whl")
    return wheel


def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, words)),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==([^ ;\\\n]+)", path.read_text(), re.MULTILINE))


def test_the_list_names_every_file_with_its_checksum(built):
    told = json.loads((built / "latest.json").read_text())
    assert told["version"] == __version__
    assert {file["name"] for file in told["files"]} == NAMES
    sums = dict(reversed(line.split("  ")) for line in (built / "SHA256SUMS").read_text().splitlines())
    for file in told["files"]:
        digest = hashlib.sha256((built / file["name"]).read_bytes()).hexdigest()
        assert file["sha256"] == sums[file["name"]] == digest


def test_another_build_gives_the_same_bytes(built, tmp_path):
    again = build_into(tmp_path, TZ="Asia/Bangkok", LC_ALL="C", PYTHONHASHSEED="7")
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in built.iterdir()
    }


def test_the_wheel_records_each_of_its_files(built):
    with zipfile.ZipFile(wheel_of(built)) as wheel:
        names = wheel.namelist()
        record = next(name for name in names if name.endswith("/RECORD"))
        rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(wheel.read(record).decode()))}
        assert list(rows) == names
        for name in set(names) - {record}:
            digest = base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest()).rstrip(b"=").decode()
            assert rows[name] == [f"sha256={digest}", str(len(wheel.read(name)))]


def test_the_wheel_says_what_the_project_says(built, tmp_path):
    project = tomllib.loads((AGENT / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(wheel_of(built)) as wheel:
        wheel.extractall(tmp_path)
    (found,) = importlib.metadata.distributions(path=[str(tmp_path)])
    assert (found.name, found.version) == (project["name"], project["version"])
    assert found.metadata["Requires-Python"] == project["requires-python"]
    extras = {
        f"{each} ; extra == '{name}'" for name, each_s in project["optional-dependencies"].items() for each in each_s
    }
    assert set(found.requires or ()) == {*project["dependencies"], *extras}
    assert {(each.name, each.value) for each in found.entry_points} == set(project["scripts"].items())


def test_the_wheel_is_the_package_and_nothing_else(built):
    listed = run("git", "-C", AGENT, "ls-files", "shareai_node").stdout.split()
    with zipfile.ZipFile(wheel_of(built)) as wheel:
        assert {name for name in wheel.namelist() if ".dist-info/" not in name} >= set(listed)
        assert not [name for name in wheel.namelist() if name.endswith(".pyc") or "/." in name]


def test_the_zipapp_runs_with_nothing_but_itself_and_cryptography(built, tmp_path):
    """Isolated from everything that is installed here, but for cryptography and what that needs."""
    here = importlib.metadata.distribution("cryptography").locate_file("")
    for name in ("cryptography", "cffi", "_cffi_backend*.so", "pycparser"):
        for path in Path(str(here)).glob(name):
            (tmp_path / path.name).symlink_to(path)
    start = "import runpy, sys; sys.path.append(sys.argv[1]); del sys.argv[:2]; "
    start += "runpy.run_path(sys.argv[0], run_name='__main__')"
    done = run(sys.executable, "-I", "-S", "-c", start, tmp_path, built / "shareai-node.pyz", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, __version__), done.stderr


@pytest.mark.usefixtures("package_index")
def test_the_zipapp_gets_what_is_compiled_once_where_it_is_missing(built, tmp_path):
    words = (sys.executable, "-I", "-S", built / "shareai-node.pyz", "--version")
    first, second = run(*words, XDG_DATA_HOME=str(tmp_path)), run(*words, XDG_DATA_HOME=str(tmp_path))
    assert (first.returncode, first.stdout.strip()) == (0, __version__), first.stderr
    assert "Installing cryptography" in first.stderr
    assert (second.returncode, second.stdout.strip(), second.stderr) == (0, __version__, "")
    assert [path.name[:7] for path in (tmp_path / "shareai-node").iterdir()] == ["zipapp-"]


def test_an_old_python_is_told_so(built):
    code = (AGENT / "building/launcher.py").read_text()
    compile(code, "launcher.py", "exec", dont_inherit=True, flags=0)
    old = f"import sys; sys.version_info = (3, 9, 2); sys.version = '3.9.2 (x)'\n{code}"
    done = run(sys.executable, "-c", old)
    assert done.returncode == 1
    assert done.stderr.strip() == "shareai-node needs Python 3.11 or newer; this is 3.9.2."


def test_debian_reads_the_package(built):
    dpkg, deb = tool("dpkg-deb"), next(built.glob("*.deb"))
    fields = dict(line.split(": ", 1) for line in run(dpkg, "--field", deb).stdout.splitlines() if ": " in line)
    assert (fields["Package"], fields["Version"], fields["Architecture"]) == ("shareai-node", __version__, "all")
    assert fields["Depends"] == "python3 (>= 3.11), python3-cryptography"
    listed = [line.split() for line in run(dpkg, "--contents", deb).stdout.splitlines()]
    assert {line[1] for line in listed} == {"root/root"}
    modes = {line[5]: line[0] for line in listed}
    assert modes["./usr/bin/shareai-node"] == "-rwxr-xr-x"
    assert modes["./usr/lib/shareai-node/shareai_node/cli.py"] == "-rw-r--r--"


def test_the_debian_package_runs_on_what_debian_has(built, tmp_path):
    """The system's Python sees the package's folder and Debian's own modules, nothing of this environment."""
    python = "/usr/bin/python3"
    asked = run(python, "-I", "-c", "import sys, cryptography; sys.exit(sys.version_info < (3, 11))")
    if asked.returncode:
        pytest.skip("the system has no Python 3.11 with python3-cryptography")
    assert run(tool("dpkg-deb"), "--extract", next(built.glob("*.deb")), tmp_path).returncode == 0
    command = (tmp_path / "usr/bin/shareai-node").read_text()
    assert f"exec {python} -I /usr/lib/shareai-node " in command
    done = run("sh", "-c", command.replace("/usr/lib/", f"{tmp_path}/usr/lib/"), "shareai-node", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, __version__), done.stderr


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-sensors.txt"])
def test_machines_get_the_versions_that_are_tested(name):
    tested, installed = pins(ROOT / "requirements.txt"), pins(AGENT / name)
    project = tomllib.loads((AGENT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    if "sensors" in name:
        wanted += project["optional-dependencies"]["sensors"]
    assert {re.split(r"[<>=;]", each)[0] for each in wanted} <= installed.keys()
    assert {each: version for each, version in installed.items() if tested.get(each, version) != version} == {}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-sensors.txt"])
def test_every_version_comes_with_its_checksums(name):
    blocks = re.split(r"\n(?=[a-z])", (AGENT / name).read_text())
    assert [block.split("==")[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert len(blocks) == len(pins(AGENT / name))
