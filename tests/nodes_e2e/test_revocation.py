"""A machine that is revoked while it answers: nothing of it goes on, on no process of the console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic

import httpx
import psutil
import pytest
from django.db import transaction

from nodes.services import revoke_node, update_node
from tests.fakes.upstream import FaultUpstream
from tests.figures import note
from tests.nodes_e2e.conftest import ASK, all_say, until_served
from tests.nodes_e2e.machines import Machine, until
from tests.stack import GatewayProcess

MODEL = "sim-chat"
PINNED = f"node/box/{MODEL}"
ON_EACH = 2
AT_ONCE = 40


@pytest.fixture
def box(make_machine, local, tenant, http) -> Machine:
    machine = make_machine(local.base_url, models=MODEL)
    update_node(machine.row, tenant.actor, {"max_concurrent": AT_ONCE})
    until_served(http, PINNED)
    return machine


@dataclass
class Open:
    """A stream whose first words have come, and which goes on no further by itself."""

    process: int
    lines: Iterator[str]


def process_of(console: GatewayProcess, answer: httpx.Response) -> int:
    """Which process of the console answers."""
    ours = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
    for pid in console.worker_pids:
        if any(met.raddr and met.raddr.port == ours for met in psutil.Process(pid).net_connections("tcp4")):
            return pid
    raise AssertionError("no process has this connection")


def opened(stack: ExitStack, console: GatewayProcess, api_key: str, pid: int) -> Open:
    headers = {"Authorization": f"Bearer {api_key}"}
    http = stack.enter_context(httpx.Client(base_url=console.url, headers=headers, timeout=60))
    with console.accepting_only(pid):
        http.get("/health/live").raise_for_status()
    asking = http.stream("POST", "/v1/chat/completions", json=ASK | {"model": PINNED, "stream": True})
    answer = stack.enter_context(asking)
    lines = answer.iter_lines()
    assert any('"content":"' in line and '"content":""' not in line for line in lines)
    return Open(process_of(console, answer), lines)


def on_both_processes(stack: ExitStack, console: GatewayProcess, api_key: str) -> list[Open]:
    wanted = sorted(console.worker_pids * ON_EACH)
    streams = [opened(stack, console, api_key, pid) for pid in wanted]
    assert (len(set(wanted)), [one.process for one in streams]) == (2, wanted)
    return streams


def test_it_ends_everything_on_every_process(box, console, tenant, http, local: FaultUpstream):
    """The holder of its socket and the other one, which reaches it by the relay."""
    local.fail("stall")
    with ExitStack() as stack:
        streams = on_both_processes(stack, console, tenant.api_key)
        with transaction.atomic():
            revoke_node(box.row, tenant.actor)
        revoked_at = found_at = monotonic()
        ends = ["\n".join(one.lines) for one in streams]
        note("a machine is revoked, until its streams on both processes have ended", monotonic() - revoked_at)

        def is_gone(answer: httpx.Response) -> bool:
            nonlocal found_at
            found_at = found_at if answer.status_code == 404 else monotonic()
            return answer.status_code == 404

        all_say(http, PINNED, is_gone)
        note("a machine is revoked, until the last request that met a process that knew it", found_at - revoked_at)
    assert all('"error"' in end and '"finish_reason":"stop"' not in end for end in ends)
    until(lambda: box.has_ended, what=box.said)
    assert "removed in the console" in box.said()
    box.start()
    until(lambda: box.has_ended, what=box.said)
    assert box.said().count("removed in the console") == 2
