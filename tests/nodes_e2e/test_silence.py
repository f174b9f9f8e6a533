"""A machine that says nothing any more: it is passed over, and serves again when it speaks."""

from __future__ import annotations

import signal

import pytest

from tests.figures import timed
from tests.nodes_e2e.conftest import all_say, ask, browser_of, until_served
from tests.nodes_e2e.machines import machine_of

MODEL = "sim-chat"
PINNED, CLOUD = f"node/box/{MODEL}", f"upstream-a/{MODEL}"


@pytest.fixture
def console(quick_console):
    return quick_console


def test_a_frozen_machine_is_passed_over_and_serves_again_when_it_thaws(console, tenant, local, cloud, tmp_path):
    with (
        browser_of(console, tenant) as http,
        machine_of(console, tenant, tmp_path / "box", local.base_url, models=MODEL) as box,
    ):
        until_served(http, PINNED)
        tenant.connect(cloud.base_url, [MODEL], priority=1000)
        all_say(http, CLOUD, lambda answer: answer.status_code == 200)
        box.send(signal.SIGSTOP)
        with timed("a machine is frozen, until all requests go elsewhere; 5 s of silence are borne"):
            caught = ask(http, MODEL)
            assert (caught.status_code, caught.headers["x-shareai-target"]) == (200, CLOUD)
            all_say(http, MODEL, lambda answer: answer.headers["x-shareai-target"] == CLOUD)
        box.send(signal.SIGCONT)
        all_say(http, PINNED, lambda answer: answer.status_code == 200)
