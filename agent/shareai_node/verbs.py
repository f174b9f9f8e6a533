"""What each verb of the command does. A verb prints, returns an exit code, or raises an AgentError that says why not."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from shareai_node import config, control, enroll as enrollment, identity, log, service, switch, wording
from shareai_node.addresses import origin_of, refuse_public, server_url
from shareai_node.agent import Agent
from shareai_node.config import Config, Server
from shareai_node.errors import AgentError, NotEnrolled, NotRunning
from shareai_node.idle import Switches
from shareai_node.places import Places, places

_log = logging.getLogger(__name__)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def enroll(given: argparse.Namespace) -> int:
    enrolled = enrollment.enroll(places(), _wish(given, given.console, given.replace))
    say(f'Enrolled as "{enrolled.name}" ({enrolled.node}) for {enrolled.organization}.')
    _say_what_serves(enrolled)
    say("Now start it: shareai-node service install (in the background) or shareai-node run (here).")
    return 0


def _say_what_serves(loaded: Config) -> None:
    from shareai_node.doctor import models

    for finding in models(loaded):
        say(finding.said)


def _wish(given: argparse.Namespace, console: str, replaces: bool) -> enrollment.Wish:
    return enrollment.Wish(
        console=origin_of(console),
        token=_token(given.token_file),
        name=given.name,
        servers=_servers(given),
        discover=not given.no_discover,
        replace=replaces,
        allow_http=given.allow_http,
    )


def _token(path: str | None) -> str:
    if path is not None and path != "-":
        return enrollment.read_token_file(path)
    if path is None and sys.stdin.isatty():
        return enrollment.token_of(getpass.getpass("Enrolment token (it is not shown): "))
    return enrollment.read_token_stream(sys.stdin)


def _servers(given: argparse.Namespace) -> tuple[Server, ...]:
    key = _server_key(given.server_key_file)
    urls = [server_url(url) for url in given.server]
    for url in urls:
        refuse_public(url)
    return tuple(Server(url, key) for url in dict.fromkeys(urls))


def _server_key(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        key = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AgentError(f"The key file {path} cannot be read. Check its path.") from error
    if not key or not key.isascii() or not key.isprintable():
        raise AgentError(f"The key file {path} holds no key. Write the key into it, and nothing else.")
    return key


def run(given: argparse.Namespace) -> int:
    where = places()
    if given.console is not None and config.find(where) is None:
        enrollment.enroll(where, _wish(given, given.console, replaces=False))
    loaded = _narrowed(config.load(where), given)
    key = identity.find(where.key)
    if key is None:
        raise NotEnrolled(f"The key of this machine is missing at {where.key}. Enrol again with --replace.")
    if (running := control.find_running(where.control)) is not None:
        raise AgentError(f"The agent runs already (process {running.get('pid')}). Stop it first.")
    log.begin(where.log, loaded.log_level)
    try:
        asyncio.run(_live(where, loaded, key))
    except AgentError as error:
        _log.error("%s", error)
        return error.EXIT_CODE
    return 0


def _narrowed(loaded: Config, given: argparse.Namespace) -> Config:
    if servers := _servers(given):
        loaded = replace(loaded, servers=servers)
    return replace(loaded, discover=False) if given.no_discover else loaded


async def _live(where: Places, loaded: Config, key: identity.Identity) -> None:
    agent = Agent(where, loaded, key)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        if sys.platform == "win32":
            signal.signal(name, lambda *_: loop.call_soon_threadsafe(agent.stop))
        else:
            loop.add_signal_handler(name, agent.stop)
    await agent.run()


def status(given: argparse.Namespace) -> int:
    where = places()
    config.load(where)  # "not enrolled" tells more than "not running"
    said = control.ask(where.control, "status")
    say(json.dumps(said, indent=2) if given.json else wording.status(said))
    return 0 if said["connected"] else 1


def doctor(given: argparse.Namespace) -> int:
    from shareai_node.doctor import examine

    found = [finding.told() for finding in examine(places())]
    say(json.dumps(found, indent=2) if given.json else wording.findings(found))
    return 1 if any(one["result"] == "fail" for one in found) else 0


def pause(given: argparse.Namespace) -> int:
    return _switched("pause", paused=True, done="Paused. Requests in flight go on. Undo with: shareai-node resume")


def resume(given: argparse.Namespace) -> int:
    return _switched("resume", paused=False, done="Resumed.")


def _switched(verb: str, *, paused: bool, done: str) -> int:
    """Of an agent that does not run: it will find the switch so when it starts."""
    where = places()
    try:
        said = control.ask(where.control, verb)
    except NotRunning:
        config.load(where)
        switch.save(where.switch, Switches(paused=paused))
        say(f"{done}\nThe agent does not run now.")
        return 0
    say(done if paused or said["state"]["accepting"] else f"{done} But: {said['state']['detail']}")
    return 0


def drain(given: argparse.Namespace) -> int:
    said = control.ask(places().control, "drain", timeout_s=given.timeout + 10, within_s=given.timeout)
    if not said["drained"]:
        raise AgentError(f"{said['in_flight']} requests are still in flight. Wait longer with --timeout SECONDS.")
    say("Drained: nothing is in flight, and nothing new comes in. Undo with: shareai-node resume")
    return 0


def logs(given: argparse.Namespace) -> int:
    path = places().log
    for line in log.last_lines(path, given.lines):
        sys.stdout.write(line)
    if given.follow:
        for line in log.following_lines(path):
            sys.stdout.write(line)
            sys.stdout.flush()
    return 0


def service_install(given: argparse.Namespace) -> int:
    config.load(places())
    for line in service.here().install(boot=given.boot, start=not given.no_start):
        say(line)
    return 0


def service_uninstall(given: argparse.Namespace) -> int:
    where = places()
    for line in service.here().uninstall():
        say(line)
    if given.purge:
        service.purge(where)
        say("The enrolment, the key and the logs are removed. Remove the machine in the console as well.")
    return 0


def service_status(given: argparse.Namespace) -> int:
    state = service.here().state()
    say(str(state.value))
    return 0 if state is service.State.RUNNING else 1


def server_add(given: argparse.Namespace) -> int:
    url = server_url(given.url)
    refuse_public(url)
    added = Server(url, _server_key(given.key_file))

    def change(saved: Config) -> Config:
        others = tuple(server for server in saved.servers if server.base_url != url)
        return replace(saved, servers=(*others, added))

    _reconfigured(change, f"{url} is looked at from now on.")
    _say_what_serves(replace(config.load(places()), servers=(added,), discover=False))
    return 0


def server_remove(given: argparse.Namespace) -> int:
    url = server_url(given.url)

    def change(saved: Config) -> Config:
        if url not in [server.base_url for server in saved.servers]:
            raise AgentError(f"{url} is not among the servers named by hand. See: shareai-node server list")
        return replace(saved, servers=tuple(server for server in saved.servers if server.base_url != url))

    return _reconfigured(change, f"{url} is looked at no more.")


def _reconfigured(change: Any, done: str) -> int:
    where = places()
    config.load(where)
    saved = config.find(where)
    assert saved is not None
    config.save(where, change(saved))
    try:
        control.ask(where.control, "reload")
    except NotRunning:
        pass  # it will read the file when it starts
    say(done)
    return 0


def server_list(given: argparse.Namespace) -> int:
    loaded = config.load(places())
    for server in loaded.servers:
        say(server.base_url + (" (with a key)" if server.key else ""))
    say("The usual ports of this machine as well." if loaded.discover else "No others.")
    return 0


def upgrade(given: argparse.Namespace) -> int:
    from shareai_node.upgrade import check, upgrade as install

    where = places()
    loaded = config.load(where)
    if given.check:
        say(check(loaded))
        return 0
    for line in install(where, loaded):
        say(line)
    return 0
