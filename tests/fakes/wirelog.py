"""What an upstream received and sent: the oracle for money and isolation."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

_POLL_S = 0.005


class End(StrEnum):
    """How an exchange ended."""

    COMPLETED = "completed"  # all was sent that was meant to be
    RESET = "reset"  # the server broke the connection, on purpose
    CLOSED = "closed"  # the server ended the connection before the answer was whole, on purpose
    CLIENT_LEFT = "client-left"
    STOPPED = "stopped"  # the server was stopped meanwhile


@dataclass(slots=True)
class Exchange:
    """One request and what became of it; filled while it goes on. Times are `time.time()`.

    Attributes:
        connection: number of the connection, from 0; shared by the requests that reused it.
        fault: the fault that was played.
        status: None while nothing was sent.
        sent_bytes: bytes handed to the kernel, or waiting for a slow reader.
        sent_tokens: completion tokens in them.
        usage: the usage they report: a value, or its text where it is false on purpose; None if none was.
        text: the answer's text in full, whether sent or not.
    """

    number: int
    connection: int
    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: Any = None
    key: str = ""
    model: str = ""
    stream: bool = False
    fault: str = "ok"
    status: int | None = None
    sent_bytes: int = 0
    sent_tokens: int = 0
    usage: Any = None
    text: str = ""
    hanging: bool = False  # nothing more is coming, and the connection stays open
    end: End | None = None
    received_at: float = field(default_factory=time.time)
    first_sent_at: float | None = None
    ended_at: float | None = None
    client_left_at: float | None = None

    @property
    def prompt(self) -> str:
        """The last message's or the prompt's text, where sentinels are put."""
        body = self.body if isinstance(self.body, dict) else {}
        last = (body.get("messages") or [{}])[-1].get("content", body.get("prompt", body.get("input")))
        return last if isinstance(last, str) else orjson.dumps(last).decode()

    def as_json(self) -> bytes:
        shown = {name: value for name, value in asdict(self).items() if name != "raw"}
        return orjson.dumps(shown | {"raw_bytes": len(self.raw)})


class WireLog:
    """The exchanges of one server, oldest first; readable from any thread while it serves."""

    def __init__(self, path: Path | None = None) -> None:
        self._exchanges: list[Exchange] = []
        self._path = path
        self.connections = 0

    def __iter__(self) -> Iterator[Exchange]:
        return iter(list(self._exchanges))

    def __len__(self) -> int:
        return len(self._exchanges)

    def __getitem__(self, nth: int) -> Exchange:
        return self._exchanges[nth]

    @property
    def last(self) -> Exchange:
        return self._exchanges[-1]

    @property
    def in_flight(self) -> list[Exchange]:
        return [exchange for exchange in self if exchange.end is None]

    @property
    def posts(self) -> list[Exchange]:
        """Requests for an answer, without the probes of the model list."""
        return [exchange for exchange in self if exchange.method == "POST"]

    @property
    def sent_tokens(self) -> int:
        return sum(exchange.sent_tokens for exchange in self)

    def clear(self) -> None:
        """Forget what has ended."""
        self._exchanges = self.in_flight

    def add(self, exchange: Exchange) -> None:
        self._exchanges.append(exchange)

    def finish(self, exchange: Exchange, end: End) -> None:
        exchange.ended_at = time.time()
        exchange.end = end
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(exchange.as_json() + b"\n")

    def wait_until(self, holds: Callable[["WireLog"], bool], timeout_s: float = 5) -> None:
        """Block until the condition holds; for a server in another thread.

        Raises:
            TimeoutError: it does not in time.
        """
        give_up_at = time.monotonic() + timeout_s
        while not holds(self):
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"not seen within {timeout_s} s; the last of the log: {list(self)[-3:]}")
            time.sleep(_POLL_S)

    async def until(self, holds: Callable[["WireLog"], bool], timeout_s: float = 5) -> None:
        """The same without blocking the loop."""
        give_up_at = time.monotonic() + timeout_s
        while not holds(self):
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"not seen within {timeout_s} s; the last of the log: {list(self)[-3:]}")
            await asyncio.sleep(_POLL_S)


def settled(log: WireLog) -> bool:
    """A condition: nothing is in flight."""
    return not log.in_flight


def read_log(path: Path) -> list[dict[str, Any]]:
    """The ended exchanges of a log file, in the order they ended."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
