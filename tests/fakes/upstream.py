"""The fault server: a real HTTP server whose model name selects how it misbehaves.

    with FaultUpstream() as upstream:                    # in a thread of its own
        client = OpenAI(base_url=upstream.base_url, api_key="upstream-key")
        ...model="ok", model="stall", model="500@0.3"    # see demo.faults.catalogue
        upstream.fail("503-retry-after@0.5")             # whatever the model is called
        upstream.keys.discard("upstream-key")            # from now on 401
        upstream.log.last.sent_tokens

    async with FaultUpstream() as upstream: ...          # on the running loop

    python -m tests.fakes.upstream --port 0 --log FILE   # prints `ready <base URL>`; see tests.fakes.control

A right answer is the simulated provider's. The log is the oracle of what was received and sent.
"""

import argparse
import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import orjson

from demo.answers import (
    ENDPOINTS,
    Refused,
    Voice,
    answer,
    model_list,
    model_of,
    one_model,
    parse,
    unknown_model,
    wrong_key,
)
from demo.faults import MENU, FaultRules, Scene, Send, Step, steps
from demo.faults.wire import whole
from tests.fakes.connection import Connection
from tests.fakes.control import control
from tests.fakes.wirelog import End, Exchange, WireLog

KEY = "upstream-key"
_REUSE_RESETS = "reset-between-requests"


@dataclass(slots=True)
class Manners:
    """Times and sizes of what it does; may be changed while it serves. See `demo.faults.Scene`."""

    first_token_s: float = 0
    token_interval_s: float = 0
    retry_after_s: int = 1
    delay_s: float = 0.2
    endless_interval_s: float = 0.001
    endless_pieces: int = 1
    redirect_to: str = "http://169.254.169.254/latest/meta-data/"
    inflated_bytes: int = 64 << 20


class FaultUpstream:
    """A server for one test or many; stopped and started again it keeps its port.

    Args:
        keys: the keys to accept; the set may be changed while it serves.
        models: names, beside the fault menu's, that get a right answer; any other name is a 404.
        log_path: a file that gets each ended exchange as a JSON line.
    """

    def __init__(
        self,
        *,
        name: str = "Fault",
        keys: Iterable[str] = (KEY,),
        models: Iterable[str] = (),
        manners: Manners | None = None,
        port: int = 0,
        log_path: Path | None = None,
    ) -> None:
        self.voice = Voice(name)
        self.keys = set(keys)
        self.models = list(models)
        self.manners = manners or Manners()
        self.rules = FaultRules()
        self.log = WireLog(log_path)
        self.port = port
        self.models_status = 200  # of GET /v1/models, which no fault touches
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def fail(self, spec: str, model: str = "*") -> None:
        """Give a fault to every request for a model that fits the pattern.

        Raises:
            ValueError: the spec is not on the menu.
        """
        self.rules.put(spec, model)

    def heal(self, model: str = "*") -> None:
        self.rules.clear(model)

    # On the running loop

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and break what is open."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # In a thread of its own

    def __enter__(self) -> Self:
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live(ready)), daemon=True)
        self._thread.start()
        ready.result(timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the thread's server; again does nothing."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout=10)
            self._thread = None

    async def _live(self, ready: "Future[None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        try:
            await self.start()
        except OSError as error:
            ready.set_exception(error)
            return
        ready.set_result(None)
        await self._stopping.wait()
        await self.stop()

    # One connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(self.log.connections, reader, writer)
        self.log.connections += 1
        try:
            await self._converse(connection)
        except asyncio.CancelledError:
            connection.reset()
        finally:
            await connection.close()
            self._tasks.discard(task)

    async def _converse(self, connection: Connection) -> None:
        doomed = False
        while exchange := await connection.receive(len(self.log)):
            if exchange.path.startswith("/_"):
                await connection.play(self._controlled(exchange), exchange)
                continue
            self.log.add(exchange)
            if doomed:
                exchange.fault = _REUSE_RESETS
                connection.reset()
                self.log.finish(exchange, End.RESET)
                return
            end = End.STOPPED
            try:
                end = await connection.play(self._script(exchange), exchange)
            finally:
                self.log.finish(exchange, end)
            if end is not End.COMPLETED or exchange.headers.get("connection", "").lower() == "close":
                return
            doomed = exchange.fault == _REUSE_RESETS

    def _controlled(self, exchange: Exchange) -> Iterator[Step]:
        try:
            return _said(200, control(self, exchange))
        except Refused as refused:
            return _said(refused.status, refused.body)

    def _script(self, exchange: Exchange) -> Iterator[Step]:
        try:
            return self._answer(exchange)
        except Refused as refused:
            exchange.fault = "refused"
            return _said(refused.status, refused.body)

    def _answer(self, exchange: Exchange) -> Iterator[Step]:
        if exchange.key not in self.keys:
            raise wrong_key()
        if exchange.method == "GET" and exchange.path.startswith("/v1/models"):
            return self._models(exchange.path.removeprefix("/v1/models").removeprefix("/"))
        if exchange.method != "POST" or exchange.path not in ENDPOINTS:
            raise Refused(f"Invalid URL ({exchange.method} {exchange.path})", status=404)
        exchange.body = parse(exchange.raw)
        exchange.model = model_of(exchange.body)
        if exchange.model not in self.models and not self.rules.knows(exchange.model):
            raise unknown_model(exchange.model)
        reply = answer(exchange.path, exchange.body, self.voice)
        exchange.stream = exchange.body.get("stream") is True and bool(reply.events)
        exchange.text = reply.text
        scene = Scene(reply, exchange.stream, exchange.key, **asdict(self.manners))
        exchange.fault, script = steps(self.rules.choose(exchange.model), scene)
        return script

    def _models(self, model: str) -> Iterator[Step]:
        names = [*self.models, *MENU]
        if self.models_status != 200:
            raise Refused("The model list is out of order.", status=self.models_status, kind="server_error")
        if not model:
            return _said(200, model_list(names, self.voice))
        if model not in names:
            raise unknown_model(model)
        return _said(200, one_model(model, self.voice))


def _said(status: int, body: object) -> Iterator[Step]:
    yield Send(whole(status, orjson.dumps(body)), status=status)


@contextlib.contextmanager
def killed(upstream: FaultUpstream) -> Iterator[None]:
    """Nobody listens at its port until the block ends."""
    upstream.__exit__(None, None, None)
    try:
        yield
    finally:
        upstream.__enter__()


@contextlib.contextmanager
def refusing_url() -> Iterator[str]:
    """A base URL whose port refuses connections, and stays taken so that nobody else opens it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


async def _run(upstream: FaultUpstream) -> None:
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    async with upstream:
        print(f"ready {upstream.base_url}", flush=True)
        await stopped.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tests.fakes.upstream")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--key", action="append")
    parser.add_argument("--model", action="append", default=[])
    given = parser.parse_args(arguments)
    upstream = FaultUpstream(keys=given.key or (KEY,), models=given.model, port=given.port, log_path=given.log)
    asyncio.run(_run(upstream))


if __name__ == "__main__":
    main()
