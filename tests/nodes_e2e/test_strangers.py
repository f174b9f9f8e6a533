"""Who must not: another organisation, a second copy of a key, a machine that breaks the protocol."""

from __future__ import annotations

import asyncio
import shutil
import struct

import httpx
import pytest

from nodes.enrolment import create_token
from tests.fakes.node import FakeNode
from tests.nodes.machine import Machine as Keys
from tests.nodes_e2e.conftest import all_say, ask, browser_of, until_served
from tests.nodes_e2e.machines import Machine, until
from tests.stack import make_tenant

MODEL = "sim-chat"
PINNED = f"node/box/{MODEL}"
HEADER = struct.Struct(">BBBIH")
UNKNOWN_TYPE, DATA, HEADERS, WINDOW_UPDATE = 99, 0, 1, 8
HOSTILE = {
    "an unknown type": HEADER.pack(UNKNOWN_TYPE, 0, 0, 0, 0),
    "a length that lies": HEADER.pack(DATA, 0, 0, 1, 500) + b"short",
    "half a header": b"\x00\x00\x00",
    "somebody else's stream": HEADER.pack(DATA, 0, 0, 41, 4) + b"data",
    "a stream of its own": HEADER.pack(HEADERS, 0, 0, 2, 2) + b"{}",
    "credit beyond all bounds": HEADER.pack(WINDOW_UPDATE, 0, 0, 0, 4) + b"\xff\xff\xff\xff",
}


@pytest.fixture
def box(make_machine, local, http) -> Machine:
    machine = make_machine(local.base_url, models=MODEL)
    until_served(http, PINNED)
    return machine


def test_another_organisation_sees_neither_machine_nor_model(box, console, client):
    stranger = make_tenant("Rival")
    assert MODEL in [model.id for model in client.models.list()]
    with browser_of(console, stranger) as http:
        listed = [model["id"] for model in http.get("/v1/models").json()["data"]]
        assert [name for name in listed if MODEL in name or name.startswith("node/")] == []
        all_say(http, PINNED, lambda answer: answer.status_code == 404)
        all_say(http, MODEL, lambda answer: answer.status_code == 404)
        key = stranger.new_key(scopes=["manage"])[1]
        headers = {"Authorization": f"Bearer {key}"}
        assert http.get("/api/v1/nodes", headers=headers).json()["data"] == []
        found = http.get(f"/api/v1/nodes/{box.row.public_id}", headers=headers)
        assert found.status_code == 404


def test_of_two_copies_of_one_key_the_newest_serves(box, http, tmp_path):
    copy = Machine(tmp_path / "copy", MODEL)
    shutil.copytree(box.home.folder, copy.home.folder, ignore=shutil.ignore_patterns("control.json", "said", "logs"))
    copy.start()
    try:
        until(lambda: "Another copy of this agent" in box.said(), what=box.said)
        all_say(http, PINNED, lambda answer: answer.status_code == 200)
        assert "Another copy" not in copy.said()
    finally:
        copy.stop()


@pytest.fixture
def hostile(console, tenant) -> FakeNode:
    """A machine with a key of its own that is let in and then says what it likes."""
    keys = Keys()
    token = create_token(tenant.org, tenant.actor).plain
    answer = httpx.post(f"{console.url}/nodes/v1/enroll", json=keys.application(token, console.url, name="Hostile"))
    url = console.url.replace("http", "ws") + "/nodes/v1/connect"
    return FakeNode(url, answer.json()["node"], keys._key)


async def test_a_machine_that_breaks_the_protocol_loses_its_own_connection_alone(box, http, hostile):
    for what, frame in HOSTILE.items():
        await hostile.dial()
        await hostile.greet()
        await hostile.say(frame)
        assert await hostile.closed() == 1002, what
        assert (await asyncio.to_thread(ask, http, PINNED)).status_code == 200
    await hostile._http.aclose()
