"""From the wizard's line to a machine that is in: the installer, the agent and the console, all real."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.audit import Actor
from nodes.enrolment import create_token
from nodes.models import Node
from tests.installers.conftest import AGENT, tool
from tests.installers.container import followed, run_by_hand, why_not
from tests.installers.machine import Machine, machine
from tests.stack import GatewayProcess, Tenant, make_tenant

pytestmark = [
    pytest.mark.usefixtures("package_index"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH"),
]
STARTS_WITHIN_S = 60
CONTAINED = """\
{enroll} < {token}
{run} &
until {health} > /dev/null; do kill -0 $!; sleep 0.3; done
stat -c %u /proc/$!
{spoil} 2> /dev/null || echo closed
kill $!
wait $!
echo ended
"""
"""What somebody says to `docker run`, and the engine after that."""


@pytest.fixture(scope="module")
def console(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[GatewayProcess]:
    with django_db_blocker.unblock():
        process = GatewayProcess(tmp_path_factory.mktemp("console")).start()
        yield process
        process.stop()


@pytest.fixture(scope="module")
def tenant(console) -> Tenant:
    return make_tenant("Workshop")


@pytest.fixture(scope="module")
def empty(console) -> Iterator[Machine]:
    with machine() as found:
        if not found.has_python():
            pytest.skip("the system has no Python 3.11 with venv for everybody")
        yield found


@pytest.fixture(scope="module")
def token(tenant) -> str:
    return create_token(tenant.org, Actor.of_user(tenant.owner)).plain


@pytest.fixture(scope="module")
def enrolled(console, empty, token) -> Machine:
    """By the token in the environment. Had the script made it a word of a command, the agent would have refused."""
    done = empty.install(console.url, "--name", "Bench", SHAREAI_NODE_TOKEN=token)
    assert done.returncode == 0, done.stderr
    assert 'Enrolled as "Bench"' in done.stdout
    assert token not in done.stdout + done.stderr
    return empty


def node_of(tenant: Tenant) -> Node:
    return Node.objects.of(tenant.org).get(name="Bench")


def test_the_console_has_the_machine(enrolled, tenant):
    assert node_of(tenant).name == "Bench"


def test_nothing_but_its_owner_reads_the_key_and_the_token_is_nowhere(enrolled, token):
    (key,) = enrolled.home.rglob("identity.key")
    assert (key.stat().st_mode & 0o777, key.stat().st_uid) == (0o600, enrolled.user.pw_uid)
    ours = [path for path in enrolled.home.rglob("*") if path.is_file() and "site-packages" not in path.parts]
    assert [path for path in ours if token.encode() in path.read_bytes()] == []


def test_again_without_a_token_it_stays_the_same_machine(enrolled, console, tenant):
    before = node_of(tenant).public_id
    done = enrolled.install(console.url)
    assert done.returncode == 0, done.stderr
    assert "This machine is enrolled already." in done.stdout
    assert node_of(tenant).public_id == before


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_used_token_is_told_and_leaves_the_machine_as_it_was(enrolled, console, token, way):
    (enrolled.home / "token").write_text(token + "\n")
    (enrolled.home / "install.sh").write_text(enrolled.run("curl", "-fsSL", f"{console.url}/install.sh").stdout)
    options = ["--token-file", str(enrolled.home / "token")] if way == "file" else ["--token-stdin"]
    done = enrolled.run("sh", enrolled.home / "install.sh", "--replace", *options, given=token + "\n")
    assert done.returncode == 1
    assert "This token was used before." in done.stderr
    assert token not in done.stdout + done.stderr
    assert enrolled.run(enrolled.command, "server", "list").returncode == 0
    (enrolled.home / "token").unlink()
    (enrolled.home / "install.sh").unlink()


def test_the_agent_connects_as_that_user_and_ends_when_told(enrolled):
    process = enrolled.start(enrolled.command, "run")
    until = time.monotonic() + STARTS_WITHIN_S
    while enrolled.run(enrolled.command, "status").returncode != 0:  # connected
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.2)
    assert Path(f"/proc/{process.pid}").stat().st_uid == enrolled.user.pw_uid
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, process.communicate()


def test_systemd_accepts_the_unit_that_it_writes(enrolled):
    done = enrolled.run(enrolled.command, "service", "install", "--no-start")
    assert done.returncode == 0, done.stderr
    (unit,) = enrolled.home.rglob("shareai-node.service")
    verified = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False
    )
    assert [line for line in verified.stderr.splitlines() if "shareai-node" in line] == []
    assert verified.returncode == 0, verified.stderr


def test_at_the_end_nothing_is_left(enrolled, console):
    done = enrolled.install(console.url, "--uninstall")
    assert done.returncode == 0, done.stderr
    assert enrolled.tree() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes an image")
def test_a_container_that_was_built_by_hand_is_in_as_well(console, tenant, tmp_path):
    python = subprocess.run(["/usr/bin/python3", "--version"], capture_output=True, text=True, check=False).stdout
    image = followed(AGENT / "Dockerfile", "python3." + python.split(".")[1])
    folder = tmp_path / "image"
    folder.mkdir()
    if reason := why_not(folder):
        pytest.skip(reason)
    token = tmp_path / "token"
    token.write_text(create_token(tenant.org, Actor.of_user(tenant.owner)).plain)
    said = {
        "enroll": [*image.entry, "enroll", console.url, "--no-discover", "--name", "Contained"],
        "run": [*image.entry, *image.command],
        "health": image.health,
        "spoil": ["touch", "/usr/local/bin/shareai-node"],
    }
    words = {name: image.asked(" ".join(words)) for name, words in said.items()}
    done = run_by_hand(image, CONTAINED.format(token=token, **words), folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3:] == [image.user.partition(":")[0], "closed", "ended"]
    assert token.read_text() not in done.stdout + done.stderr
    assert Node.objects.of(tenant.org).filter(name="Contained").exists()
