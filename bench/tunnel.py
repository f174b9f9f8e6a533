"""What the tunnel costs the console: `python -m bench.tunnel` beside `python -m bench`.

    direct     a target over HTTP
    tunnel     a machine that is connected to the process which is asked
    relay      a machine that is connected to another process; both processes' CPU counts
    idle       machines that are merely connected: memory of each, and what their heartbeats take of a core
    talkative  the same, while the vitals of each change all the time

The cases take turns within each round, and what counts is the ratio to direct within the round.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench import load
from bench.cases import CASES, Case
from bench.gateways.base import Endpoint, answers_get
from bench.gateways.shareai import ShareAI, served
from bench.node import KEY
from bench.processes import Child, GatewayError, cpu_nanos, free_port, rss_mb
from bench.progress import say
from bench.runner import aim, faults, started, upstream

_ONE = "bench-1"
"""One of the targets of `bench_seed`, pinned, for a machine is one target as well."""

NAMES = {
    "unary": f"{_ONE}/bench-unary",
    "paced": f"{_ONE}/bench-paced",
    "tunnel": "bench-tunnel",
    "tunnel_paced": "bench-tunnel",
}
IDLE_S = 20.0
_REST_S = 12.0

GOALS = {"tunnel ÷ direct": 1.1, "relay ÷ direct": 1.6, "chunk µs": 60.0, "idle KB": 50.0, "idle share": 0.05}
_ENTRY_S = 600.0
_KNOWN = "SELECT count(DISTINCT node_id) FROM nodes_nodemodel"


class Console(ShareAI):
    """Ours, with machines among its rows, and on demand a second process on the same database."""

    def __init__(self, machines: int) -> None:
        super().__init__()
        self._machines = machines
        self._env: Mapping[str, str] = {}
        self.key = Ed25519PrivateKey.generate()
        self.nodes: list[str] = []

    def _environment(self, upstream_url: str, port: int) -> dict[str, str]:
        self._env = super()._environment(upstream_url, port)
        return dict(self._env)

    def _seed(self, env: Mapping[str, str], upstream_url: str) -> Mapping[str, object]:
        seed = super()._seed(env, upstream_url)
        words = ["--organization", str(seed["organization"]), "--machines", str(self._machines)]
        made = self._manage(env, "bench_machines", "--key", self.key.public_key().public_bytes_raw().hex(), *words)
        self.nodes = json.loads(made.strip().splitlines()[-1])["nodes"]
        return seed

    def second(self, endpoint: Endpoint) -> Endpoint:
        """Another process. Nodes sign the first one's address, by which they come in."""
        port = free_port()
        child = self.spawn(served(port, self.folder / "bin/python"), env=self._env)
        child.wait_until(lambda: answers_get(port, "/health/ready"), "the second process")
        return replace(endpoint, port=port)

    @contextmanager
    def machines(self, endpoint: Endpoint, nodes: list[str]) -> Iterator[Child]:
        log = self.folder / "node.log"
        url = f"ws://{endpoint.host}:{endpoint.port}/nodes/v1/connect"
        env = {KEY: self.key.private_bytes_raw().hex()}
        child = Child([sys.executable, "-m", "bench.node", "--connect", url, "--nodes", *nodes], log, env)
        try:
            child.wait_until(lambda: "connected" in log.read_text(), "the machines", _ENTRY_S)
            yield child
        finally:
            child.stop()

    def wait_until_known(self, machines: int) -> None:
        """Each machine reports once when it comes in, which is written down; that is no part of being idle."""
        until = time.monotonic() + _ENTRY_S
        with psycopg.connect(self._env["DATABASE_URL"], autocommit=True) as connection:
            while (known := connection.execute(_KNOWN).fetchall()[0][0]) < machines:
                if time.monotonic() > until:
                    raise GatewayError(f"{known} of {machines} machines are known after {_ENTRY_S:g} s")
                time.sleep(0.5)


def cost_us(console: Console, endpoint: Endpoint, case: Case, requests: int, connections: int) -> float:
    """CPU of all processes of the console per request."""
    target = aim(endpoint, case)
    load.run(target, max(requests // 10, connections), connections)
    before = cpu_nanos(console.pids)
    seen = load.run(target, requests, connections)
    if seen.failed:
        raise GatewayError(f"{case.name}: {faults(seen)}")
    return (cpu_nanos(console.pids) - before) / 1000 / requests


def requests_of(rounds: int, scale: float) -> dict[str, float]:
    figures: dict[str, list[float]] = {}
    console = Console(machines=1)
    with upstream() as upstream_url, started(console, upstream_url) as endpoint:
        endpoint = replace(endpoint, models=NAMES)
        other = console.second(endpoint)
        with console.machines(endpoint, console.nodes):
            for there in (endpoint, other):
                _until_served(there)
            for _ in range(rounds):
                for name, value in _round(console, endpoint, other, scale).items():
                    figures.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in figures.items()}


def _round(console: Console, here: Endpoint, there: Endpoint, scale: float) -> dict[str, float]:
    unary, tunnel = CASES["unary"], CASES["tunnel"]
    paced = CASES["paced"]
    through = replace(paced, name="tunnel_paced")

    def cost(case: Case, endpoint: Endpoint, requests: int) -> float:
        return cost_us(console, endpoint, case, max(int(requests * scale), 32), 16)

    direct, tunnelled, relayed = cost(unary, here, 4000), cost(tunnel, here, 4000), cost(tunnel, there, 4000)
    direct_paced, tunnelled_paced = cost(paced, here, 96), cost(through, here, 96)
    found = {
        "direct µs": direct,
        "tunnel µs": tunnelled,
        "relay µs": relayed,
        "tunnel ÷ direct": tunnelled / direct,
        "relay ÷ direct": relayed / direct,
        "direct chunk µs": (direct_paced - direct) / 100,
        "chunk µs": (tunnelled_paced - tunnelled) / 100,
    }
    say("    " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))
    return found


def _until_served(endpoint: Endpoint) -> None:
    """Every process has heard of the machine."""
    until = time.monotonic() + 30
    while load.run(aim(endpoint, CASES["tunnel"]), 1, 1).failed:
        if time.monotonic() > until:
            raise GatewayError("the machine gets no requests")
        time.sleep(0.2)


def idle(machines: int) -> dict[str, float]:
    console = Console(machines=machines)
    with upstream() as upstream_url, started(console, upstream_url) as endpoint:
        load.run(aim(endpoint, CASES["unary"]), 500, 16)
        before_mb, before = rss_mb(console.pids), _share(console)
        say(f"    {machines} machines come in")
        with console.machines(endpoint, console.nodes) as child:
            began = time.monotonic()
            console.wait_until_known(machines)
            say(f"    all of them known {time.monotonic() - began:.0f} s later")
            time.sleep(_REST_S)
            share, after_mb = _share(console) - before, rss_mb(console.pids)
            os.kill(child.pid, signal.SIGUSR1)
            time.sleep(_REST_S)
            talkative = _share(console) - before
    return {
        "machines": machines,
        "idle KB": (after_mb - before_mb) * 1024 / machines,
        "idle share": share,
        "talkative share": talkative,
    }


def _share(console: Console) -> float:
    """Of a core, while nothing is asked."""
    used = cpu_nanos(console.pids)
    time.sleep(IDLE_S)
    return (cpu_nanos(console.pids) - used) / 1e9 / IDLE_S


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tunnel", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the requests of a round")
    parser.add_argument("--machines", type=int, default=5000, help="idle ones; 0 leaves them out")
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    parts: list[Callable[[], dict[str, float]]] = []
    if words.rounds:
        parts.append(lambda: requests_of(words.rounds, words.scale))
    if words.machines:
        parts.append(lambda: idle(words.machines))
    figures: dict[str, float] = {}
    try:
        for part in parts:
            figures |= part()
    except GatewayError as error:
        say(str(error))
        return 1
    for name, value in figures.items():
        goal = GOALS.get(name)
        say(
            f"{name:>18} {value:10.3f}" + (f"   goal {goal:g} {'met' if value <= goal else 'missed'}" if goal else "")
        )
    if words.out:
        words.out.write_text(json.dumps(figures, indent=1) + os.linesep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
