"""A Redis of a test's own, which it may kill and start again at the same port."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Self

import pytest
from redis import Redis
from redis.exceptions import RedisError

from accounts.channel import CHANNEL
from console.embedded.redis import find_program
from tests.stack import free_port

BACK_WITHIN_S = 20.0


class OwnRedis:
    def __init__(self) -> None:
        program = find_program()
        if program is None:
            pytest.skip("neither redis-server nor the wheel's is here")
        self._program, self._port = program, free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_how: object) -> None:
        self.kill()

    def start(self) -> None:
        words = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([str(self._program), *words], stdout=subprocess.DEVNULL)
        eventually(self.answers, BACK_WITHIN_S)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    @property
    def client(self) -> Redis:
        return Redis.from_url(self.url)

    @property
    def listeners(self) -> int:
        """How many processes hear of changes."""
        return int(self.client.pubsub_numsub(CHANNEL)[0][1])


def eventually(holds: Callable[[], bool], within_s: float) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, f"it did not happen within {within_s:g} s"
        time.sleep(0.05)
