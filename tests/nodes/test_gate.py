"""Under which names of the console a machine's signature is good."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from nodes.consumers import Hello, Refused
from nodes.gate import Gate
from tests.fakes.node import signature
from tests.nodes.machine import Machine

pytestmark = pytest.mark.django_db(transaction=True)
NONCE = bytes(range(32))
HOSTS = ("localhost", "127.0.0.1", ".example.org", "*")


def enter(machine: Machine, node: str, origin: str) -> int:
    hello = Hello("hello", node, 1, "0.1.0", signature(machine._key, node, origin, NONCE))
    return asyncio.run(Gate("http://127.0.0.1:8000", HOSTS).enter(hello, NONCE)).generation


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "http://localhost:8000"])
def test_the_public_address_and_the_allowed_hosts_are_the_same_console(enrolled, origin):
    machine = Machine()
    assert enter(machine, enrolled(machine=machine).public_id, origin) == 1


@pytest.mark.parametrize("origin", ["https://127.0.0.1:8000", "http://localhost", "http://a.example.org:8000"])
def test_no_other_console_is(enrolled, origin):
    machine = Machine()
    node = enrolled(machine=machine).public_id
    with pytest.raises(Refused, match="does not know this machine"):
        enter(machine, node, origin)


@pytest.mark.parametrize("origin", ["http://127.0.0.1:9000", "http://localhost", "https://127.0.0.1"])
def test_where_a_machine_may_enrol_it_may_connect(token, settings, origin):
    """Such as by a forwarded port, which is neither the console's nor in any of its settings."""
    settings.ALLOWED_HOSTS = [*HOSTS[:2], "testserver"]
    machine, console = Machine(), urlsplit(origin)
    said = machine.application(token, origin)
    answer = machine.post(said, HTTP_HOST=console.netloc, secure=console.scheme == "https")
    assert answer.status_code == 201, answer.content
    scheme = console.scheme.replace("http", "ws")
    assert answer.json()["connect_url"] == f"{scheme}://{console.netloc}/nodes/v1/connect"
    assert enter(machine, answer.json()["node"], origin) == 1
    with pytest.raises(Refused, match="does not know this machine"):
        enter(machine, answer.json()["node"], "http://127.0.0.1:9001")
