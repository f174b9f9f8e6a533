"""Installing for the whole machine, by root, in a copy of its folders that ends with the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shareai_node import __version__
from tests.installers.conftest import tool
from tests.installers.machine import SYSTEM_PATH
from tests.installers.shelf import Shelf

COPIED = ("/etc", "/opt", "/usr", "/var")
MOUNTS = """\
set -eu
for folder in {folders}; do
    mkdir -p "{changes}$folder/upper" "{changes}$folder/work"
    ours="{changes}$folder"
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=$ours/upper,workdir=$ours/work" "$folder"
done
"""
ENROLLED = {
    "console": "http://127.0.0.1:9",
    "connect_url": "ws://127.0.0.1:9/nodes/v1/connect",
    "node": "node_1",
    "slug": "bench",
    "name": "Bench",
    "organization": "Acme",
}
AUTHOR = {"PATH": f"{SYSTEM_PATH}:/usr/sbin:/sbin", "HOME": "/root", "LC_ALL": "C.UTF-8"}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs for a machine")


class Apart:
    """Runs commands as root; what they change in the system's folders is kept in ours, for the next ones too."""

    def __init__(self, changes: Path) -> None:
        self._changes = changes

    def __call__(self, script: str) -> subprocess.CompletedProcess[str]:
        mounts = MOUNTS.format(folders=" ".join(COPIED), changes=self._changes)
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_CERT_"))}
        return subprocess.run(
            [tool("unshare"), "--mount", "sh", "-c", mounts + script],
            env={**kept, **AUTHOR},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def changed(self) -> list[str]:
        """Files and links that are in the copy and are the agent's by their name."""
        found = (path for folder in COPIED for path in (self._changes / folder[1:] / "upper").rglob("*shareai*"))
        return sorted(str(path) for path in found if not path.is_char_device())  # those say: removed


@pytest.fixture
def apart() -> Iterator[Apart]:
    changes = Path(tempfile.mkdtemp(prefix="shareai-root-"))
    found = Apart(changes)
    if found("true").returncode:
        pytest.skip("no folder can be laid over another here")
    yield found
    shutil.rmtree(changes)


@pytest.fixture
def enroll(tmp_path) -> Callable[[], str]:
    """A command that writes what enrolment would have written."""
    (tmp_path / "config.json").write_text(json.dumps(ENROLLED))
    return f"install -D -m 0600 {tmp_path / 'config.json'} /var/lib/shareai-node/config.json\n"


@pytest.mark.usefixtures("package_index")
def test_the_service_has_a_user_of_its_own_and_uninstalling_leaves_nothing(apart, built, tmp_path, enroll):
    with Shelf(tmp_path / "shelf", built).open() as shelf:
        script = shelf.folder / "install.sh"
        installed = f"sh {script} --no-enroll --no-service\n{enroll}shareai-node service install --no-start\n"
        asked = (
            "as='setpriv --reuid=shareai-node --regid=shareai-node --clear-groups'\n"
            "$as env SHAREAI_NODE_HOME=/var/lib/shareai-node shareai-node server list >/dev/null && echo may-read\n"
            "stat -c '%U %a' /var/lib/shareai-node /var/lib/shareai-node/config.json\n"
            "systemd-analyze verify --man=no /etc/systemd/system/shareai-node.service 2>&1 | grep shareai || true\n"
        )
        done = apart(installed + asked)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[lines.index("may-read") :] == ["may-read", "shareai-node 700", "shareai-node 600"]
        done = apart(f"sh {script} --uninstall\n! id shareai-node 2>/dev/null\n")
    assert done.returncode == 0, done.stderr
    assert apart.changed() == []


def test_dpkg_installs_runs_and_purges_the_package(apart, built, enroll):
    tool("dpkg")
    (deb,) = built.glob("*.deb")
    if apart("dpkg-query -W python3-cryptography").returncode:
        pytest.skip("Debian's python3-cryptography is not installed")
    install = f"dpkg --install {deb} >/dev/null\nshareai-node --version\n{enroll}"
    service = "shareai-node service install --no-start >/dev/null\ncat /etc/systemd/system/shareai-node.service\n"
    done = apart(install + service)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == __version__
    assert "\nExecStart=/usr/bin/shareai-node run\n" in done.stdout
    removed = "dpkg --remove shareai-node >/dev/null\ntest -f /var/lib/shareai-node/config.json && echo kept\n"
    done = apart(removed + "dpkg --purge shareai-node >/dev/null\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "kept"
    assert [path for path in apart.changed() if "/var/lib/dpkg/" not in path] == []
