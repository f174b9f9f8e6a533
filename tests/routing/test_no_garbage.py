"""What a request made is freed when it ends. What refers to itself would wait for the garbage collector, whose looks
at everything took a twentieth of the CPU of each request."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from routing.cache_services import put_policy
from tests.stack import GatewayProcess, allow_of

COUNTING = """
import gc, os, signal

def count(*_):
    found = gc.collect()
    with open(os.environ["GARBAGE"], "a") as file:
        file.write(f"{found}\\n")

signal.signal(signal.SIGUSR2, count)
"""
REQUESTS = 40
HELLO = [{"role": "user", "content": "hello"}]


class Counting(GatewayProcess):
    """A gateway that says how many objects only themselves refer to, and frees them."""

    def __init__(self, folder: Path, egress_allow: str) -> None:
        (folder / "sitecustomize.py").write_text(COUNTING)
        self._told_in = folder / "garbage"
        self._told_in.touch()
        super().__init__(
            folder, egress_allow=egress_allow, PYTHONPATH=f"{Path.cwd()}:{folder}", GARBAGE=str(self._told_in)
        )

    def garbage(self) -> int:
        before = self._told()
        os.kill(self.pid, signal.SIGUSR2)
        until = time.monotonic() + 20
        while len(told := self._told()) == len(before):
            assert time.monotonic() < until, "it does not count"
            time.sleep(0.02)
        return told[-1]

    def _told(self) -> list[int]:
        return [int(line) for line in self._told_in.read_text().splitlines()]


@pytest.fixture(scope="module")
def gateway(django_db_setup, django_db_blocker, upstream_servers, tmp_path_factory) -> Iterator[Counting]:
    with django_db_blocker.unblock():
        process = Counting(tmp_path_factory.mktemp("garbage"), allow_of(upstream_servers))
        process.start()
        yield process
        process.stop()


def ask(http: httpx.Client, **fields) -> None:
    answer = http.post("/v1/chat/completions", json={"model": "sim-chat", "messages": HELLO} | fields)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", ["whole", "stream", "hit"])
def test_a_request_leaves_nothing_for_the_collector(tenant, upstreams, gateway, http, kind):
    tenant.connect(upstreams.a.base_url, ["sim-chat"])
    if kind == "hit":
        put_policy(tenant.org, tenant.actor, scope="organization", ttl_s=600)
    fields = {"stream": kind == "stream"}
    for _ in range(5):
        ask(http, **fields)
    gateway.garbage()
    for _ in range(REQUESTS):
        ask(http, **fields)
    assert gateway.garbage() < REQUESTS
