"""Idle time by real sensors: a key is pressed, a game starts, the mains are pulled, and the machine is out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from nodes.services import update_node
from tests.figures import timed
from tests.nodes_e2e.conftest import all_say, long, reason_of, until_served
from tests.nodes_e2e.machines import Machine, until
from tests.nodes_e2e.screens import Desk, desk, why_not
from tests.stack import Tenant

MODEL = "sim-chat"
PINNED, CLOUD = f"node/box/{MODEL}", f"upstream-a/{MODEL}"
QUIET_S = 60.0
"""The least that may be asked for."""


class Idler:
    """A machine at a desk, and a provider of the same model, which is tried second."""

    def __init__(self, machine: Machine, tenant: Tenant, http: httpx.Client) -> None:
        self._machine, self._tenant, self._http = machine, tenant, http

    def serve(self, mode: str) -> None:
        """Returns when all that is asked comes from it, in that mode by its own word."""
        wish = {"mode": mode, "quiet_minutes": 1, "gpu_below": 0.2}
        update_node(self._machine.row, self._tenant.actor, wish)
        self.until_serves(mode)

    def until_serves(self, mode: str, within_s: float = 30) -> None:
        until(lambda: self._serves(mode), within_s, self._machine.said)
        self.until_answered_by(PINNED)

    def _serves(self, mode: str) -> bool:
        state = self._state()
        return bool(state.get("mode") == mode and state["accepting"])

    def _state(self) -> dict[str, Any]:
        done = self._machine.home.do_now("status", "--json")
        return {} if done.code else dict(json.loads(done.out)["state"])

    def until_answered_by(self, target: str) -> None:
        all_say(self._http, MODEL, lambda answer: answer.headers["x-shareai-target"] == target)

    def leaves(self, what: str, happens: Callable[[], None], reason: str) -> None:
        with timed(f"{what}, until eight answers in a row come from elsewhere"):
            happens()
            self.until_answered_by(CLOUD)
        self._is_out_for(reason)

    def leaves_unasked(self, happens: Callable[[], None], reason: str) -> None:
        """While it answers, and for ten seconds after, its load is taken for that of the answers."""
        happens()
        until(lambda: f"node_{self._state().get('reason')}" == reason, what=self._machine.said)
        self._is_out_for(reason)
        self.until_answered_by(CLOUD)

    def _is_out_for(self, reason: str) -> None:
        all_say(self._http, PINNED, lambda answer: reason_of(answer) == reason)


@pytest.fixture(scope="module")
def seat(tmp_path_factory) -> Iterator[Desk]:
    """Before all else: the quiet minute begins with it."""
    if reason := why_not():
        pytest.skip(reason)
    with desk(tmp_path_factory.mktemp("desk")) as made:
        yield made


@pytest.fixture
def box(seat, console, tenant, http, local, cloud, tmp_path) -> Iterator[Idler]:
    """Nobody has touched it for a minute."""
    machine = Machine(tmp_path / "box", MODEL, seat.prefix)
    machine.enrol(console.url, tenant, local.base_url)
    machine.start()
    try:
        until_served(http, PINNED)
        tenant.connect(cloud.base_url, [MODEL], priority=1000)
        all_say(http, CLOUD, lambda answer: answer.status_code == 200)
        idler = Idler(machine, tenant, http)
        idler.serve("always")
        seat.quiet(QUIET_S + 1)
        idler.serve("idle")
        yield idler
    finally:
        machine.stop()


def test_a_machine_that_its_owner_wants_is_out_of_routing(box, seat):
    """Whoever lets it serve always for a moment waits for no quiet minute."""
    box.leaves_unasked(lambda: seat.card_is_busy(80), "node_gpu_busy")
    seat.card_is_busy(3)
    box.serve("always")
    if seat.has_battery:
        box.serve("idle")
        box.leaves("an idle machine's mains are pulled", lambda: seat.pull_the_mains(True), "node_on_battery")
        seat.pull_the_mains(False)
        box.serve("always")
    box.serve("idle")
    box.leaves("somebody presses a key of an idle machine", seat.press_a_key, "node_user_active")


@long
def test_it_comes_back_after_a_quiet_while(box, seat):
    box.leaves("somebody presses a key of an idle machine", seat.press_a_key, "node_user_active")
    with timed("a machine whose owner has left, until it serves again; a quiet minute and one more to be sure"):
        box.until_serves("idle", within_s=2 * QUIET_S + 60)
