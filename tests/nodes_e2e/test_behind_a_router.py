"""A machine in a network of its own, into which nothing leads: its one outbound connection is all it needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.nodes_e2e.conftest import all_say, browser_of, reason_of, until_served
from tests.nodes_e2e.machines import Machine
from tests.nodes_e2e.networks import INSIDE, SECOND_ADDRESS, Household, household, why_not
from tests.stack import Tenant, make_tenant

MODEL = "sim-chat"
PINNED = f"node/box/{MODEL}"


@pytest.fixture(scope="module")
def home(quick_console) -> Iterator[Household]:
    if reason := why_not():
        pytest.skip(reason)
    with household(quick_console.port) as made:
        yield made


@pytest.fixture(scope="module")
def owner(quick_console) -> Tenant:
    return make_tenant("Household")


@pytest.fixture(scope="module")
def browser(quick_console, owner) -> Iterator[httpx.Client]:
    with browser_of(quick_console, owner) as http:
        yield http


@pytest.fixture(scope="module")
def server(home: Household) -> Iterator[str]:
    """The model server in the home, listening on the loopback there."""
    words = [*home.prefix, sys.executable, "-m", "demo.simulated", "--model", MODEL, "--key", "home-key"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().split()[1]
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def machine(home, owner, server, browser, tmp_path_factory) -> Iterator[Machine]:
    folder: Path = tmp_path_factory.mktemp("home") / "agent"
    key = folder.parent / "key"
    key.write_text("home-key")
    made = Machine(folder, MODEL, home.prefix)
    made.enrol(home.console, owner, server, key_file=key)
    made.start()
    yield made
    made.stop()


def test_it_serves_both_processes_through_its_own_outbound_connection(machine, server, browser):
    until_served(browser, PINNED)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server}/models", timeout=5)  # from outside there is nothing at that address


def test_a_pulled_plug_is_noticed_and_it_comes_back_by_itself(machine, home, browser):
    until_served(browser, PINNED)
    home.unplug()
    all_say(browser, PINNED, lambda answer: reason_of(answer) == "node_offline")
    home.plug_in()
    all_say(browser, PINNED, lambda answer: answer.status_code == 200)


def test_the_console_sees_the_router_and_an_address_that_changes_costs_one_connection(machine, home, browser):
    if not home.router:
        pytest.skip("no packet filter translates addresses here: nft is missing, or the kernel's part of it")
    until_served(browser, PINNED)
    assert set(home.callers) == {INSIDE}
    home.move(INSIDE, SECOND_ADDRESS)
    all_say(browser, PINNED, lambda answer: answer.status_code == 200 and home.callers[-1] == SECOND_ADDRESS)
    home.move(SECOND_ADDRESS, INSIDE)
