"""Looking for what is wrong, in the order in which things depend on each other. Each finding says what to do."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from shareai_node import config, control, identity, sensors, service
from shareai_node.classification import FAILURES, classify
from shareai_node.config import Config
from shareai_node.console import client
from shareai_node.discovery import NOTHING_FOUND, NOTHING_NAMED, discover
from shareai_node.errors import AgentError
from shareai_node.faults import NETWORK_ERRORS, explain
from shareai_node.handshake import dial, introduce
from shareai_node.local import local_client
from shareai_node.places import Places
from shareai_node.releases import latest
from shareai_node.vitals import VitalsReader

_TOLERATED_SKEW_S = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Args: result: `ok`, `warn` (it works, and could be better) or `fail`.
    """

    about: str
    result: str
    said: str

    def told(self) -> dict[str, str]:
        return {"about": self.about, "result": self.result, "said": self.said}


def ok(about: str, said: str) -> Finding:
    return Finding(about, "ok", said)


def warn(about: str, said: str) -> Finding:
    return Finding(about, "warn", said)


def fail(about: str, said: str) -> Finding:
    return Finding(about, "fail", said)


def examine(where: Places) -> Iterator[Finding]:
    """Stops where nothing further can be known."""
    try:
        loaded = config.load(where)
        key = identity.find(where.key)
    except AgentError as error:
        yield fail("enrolment", str(error))
        yield from models(None)
        return
    yield ok("enrolment", f'"{loaded.name}" ({loaded.node}) at {loaded.console}')
    yield from _key(where, key)
    yield from _console(loaded)
    running = control.find_running(where.control)
    yield from _connection(loaded, key, running)
    yield from models(loaded)
    yield from _machine()
    yield from _background(running)
    yield from _version(loaded)


def _key(where: Places, key: identity.Identity | None) -> Iterator[Finding]:
    if key is None:
        yield fail("key", f"It is missing at {where.key}. Enrol again with --replace.")
    elif sys.platform != "win32" and stat.S_IMODE(os.stat(where.key).st_mode) & 0o077:
        yield fail("key", f"Others can read it. Do: chmod 600 {where.key}")
    else:
        yield ok("key", "only its owner can read it")


def _console(loaded: Config) -> Iterator[Finding]:
    try:
        with client() as http:
            answer = http.get(loaded.console + "/nodes/v1/agent/latest.json")
    except NETWORK_ERRORS as error:
        yield fail("console", explain(error, loaded.console))
        return
    yield ok("console", f"{loaded.console} answers")
    yield _clock(answer)


def _clock(answer: httpx.Response) -> Finding:
    try:
        theirs = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError, TypeError):
        return warn("clock", "The console does not tell the time, so this machine's clock was not compared.")
    skew_s = abs((datetime.now(UTC) - theirs).total_seconds())
    if skew_s > _TOLERATED_SKEW_S:
        return fail("clock", f"It is {skew_s:.0f} s away from the console's. Set it, best by a time service.")
    return ok("clock", "as the console's")


def _connection(loaded: Config, key: identity.Identity | None, running: dict[str, Any] | None) -> Iterator[Finding]:
    """A running agent is asked: a connection of the doctor's own would take its place."""
    if running is not None:
        state = running["state"]
        if not running["connected"]:
            yield fail("connection", running["last_words"] or "The agent is connecting.")
        elif state["accepting"]:
            yield ok("connection", "the running agent is connected and takes requests")
        else:
            yield warn("connection", f"The running agent takes no requests: {state['detail']}")
    elif key is not None:
        said = asyncio.run(_tried(loaded, key))
        yield ok("connection", "the console welcomes this machine") if said is None else fail("connection", said)


async def _tried(loaded: Config, key: identity.Identity) -> str | None:
    try:
        async with await dial(loaded) as socket:
            await introduce(socket, loaded, key)
    except FAILURES as error:
        return classify(error, loaded).said
    return None


def models(loaded: Config | None) -> Iterator[Finding]:
    """Each model server of this machine, or what is wrong with it. None: not enrolled yet."""
    if loaded is None:
        loaded = Config(console="", connect_url="", node="", slug="", name="", organization="")
    seen = asyncio.run(_discovered(loaded))
    for one in seen:
        if one.models:
            names = ", ".join(model.id for model in one.models[:5])
            more = f" and {len(one.models) - 5} more" if len(one.models) > 5 else ""
            yield ok("models", f"{one.runtime} at {one.server.base_url}: {names}{more}")
        elif one.error and (one.by_hand or one.listens):
            yield fail("models", one.error) if one.by_hand else warn("models", one.error)
    if loaded.discover and not any(one.models for one in seen):
        yield fail("models", NOTHING_FOUND)
    elif not loaded.servers and not loaded.discover:
        yield fail("models", NOTHING_NAMED)


async def _discovered(loaded: Config) -> Any:
    async with local_client() as http:
        return await discover(http, loaded)


def _machine() -> Iterator[Finding]:
    reader = VitalsReader()
    vitals = reader.read()
    reader.close()
    if vitals.gpus:
        names = ", ".join(f"{gpu.name} ({'?' if gpu.load is None else f'{gpu.load:.0%}'})" for gpu in vitals.gpus)
        yield ok("graphics", names)
    else:
        yield warn("graphics", "No card whose load can be read. Idle time goes by the processor's load instead.")
    quiet_s = sensors.quiet_s()
    if quiet_s is None:
        yield warn(
            "idle time",
            "Cannot tell whether somebody uses this machine, so in idle mode it never serves. "
            "Run the agent in the user's own session, or choose always-on in the console.",
        )
    else:
        yield ok("idle time", f"nobody has touched this machine for {quiet_s / 60:.0f} min")
    if vitals.on_battery is None:
        yield warn("battery", "Cannot tell whether this machine runs on battery, so in idle mode it never serves.")


def _background(running: dict[str, Any] | None) -> Iterator[Finding]:
    try:
        state = service.here().state()
    except AgentError as error:
        yield warn("service", str(error)) if running is None else ok("service", "the agent runs")
        return
    if state is service.State.RUNNING or running is not None:
        yield ok("service", state.value if state is service.State.RUNNING else "the agent runs, started by hand")
    else:
        yield warn("service", state.value)


def _version(loaded: Config) -> Iterator[Finding]:
    try:
        release = latest(loaded)
    except AgentError as error:
        yield warn("version", str(error))
        return
    if release.is_newer:
        yield warn("version", f"{release.version} is offered. Install it with: shareai-node upgrade")
    else:
        yield ok("version", "there is none that is newer")
