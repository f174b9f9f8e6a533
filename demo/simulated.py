"""A simulated provider: a real HTTP server that answers as an OpenAI-compatible one does, and says so.

    python -m demo.simulated --name Aurora --port 9101 --key sk-aurora --model aurora-large

Faults are switched on while it runs, from this machine only:

    curl localhost:9101/_control -H 'content-type: application/json' \\
         -d '{"fault": "stall", "share": 0.3, "model": "*"}'

or met by one request through its model name, `fault-<spec>` (see `demo.faults.catalogue`).
It knows no prices: what an answer costs is not its business.
"""

import argparse
import asyncio
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address

import orjson
from aiohttp import web

from demo.answers import ENDPOINTS, Refused, Reply, model_list, one_model, parse, unknown_model, wrong_key
from demo.faults import Close, Hang, Pause, Reset, Scene, Send, Step, steps
from demo.provider import Provider

_MOST_UNSENT_BYTES = 1 << 16
_FOR_EVER_S = 1 << 30
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(provider: Provider) -> web.Application:
    """The provider's HTTP face."""
    door = _Door(provider)
    app = web.Application(middlewares=[_refusals], client_max_size=32 << 20)
    app.add_routes([web.post(path, door.complete) for path in ENDPOINTS])
    app.add_routes([web.get("/v1/models", door.models), web.get("/v1/models/{model:.+}", door.model)])
    app.add_routes([web.get("/_control", door.control), web.post("/_control", door.change)])
    return app


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return _json(refused.body, status=refused.status)
    except web.HTTPException as error:
        said = Refused(f"{error.reason} ({request.method} {request.path})", status=error.status)
        return _json(said.body, status=said.status)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


class _Door:
    """Handlers of one provider."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def complete(self, request: web.Request) -> web.StreamResponse:
        key = self._admit(request)
        body = parse(await request.read())
        reply, fault = self._provider.reply(request.path, body)
        stream = body.get("stream") is True and bool(reply.events)
        if fault != "ok":
            return await _misbehave(request, fault, self._scene(reply, stream, key))
        return await (self._stream(request, reply) if stream else self._whole(reply))

    async def models(self, request: web.Request) -> web.Response:
        self._admit(request)
        return _json(model_list(self._provider.models, self._provider.voice))

    async def model(self, request: web.Request) -> web.Response:
        self._admit(request)
        model = request.match_info["model"]
        if model not in self._provider.models:
            raise unknown_model(model)
        return _json(one_model(model, self._provider.voice))

    async def control(self, request: web.Request) -> web.Response:
        _admit_neighbour(request)
        return _json(self._provider.state())

    async def change(self, request: web.Request) -> web.Response:
        _admit_neighbour(request)
        self._provider.change(parse(await request.read()))
        return _json(self._provider.state())

    def _admit(self, request: web.Request) -> str:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key not in self._provider.keys:
            raise wrong_key()
        return key

    def _scene(self, reply: Reply, stream: bool, key: str) -> Scene:
        provider = self._provider
        return Scene(reply, stream, key, provider.first_token_s, provider.token_interval_s, delay_s=20)

    async def _whole(self, reply: Reply) -> web.Response:
        await asyncio.sleep(self._provider.first_token_s + reply.tokens * self._provider.token_interval_s)
        return _json(reply.body)

    async def _stream(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(headers={"cache-control": "no-cache"})
        response.content_type, response.charset = "text/event-stream", "utf-8"
        await response.prepare(request)
        await asyncio.sleep(self._provider.first_token_s)
        for event in reply.events:
            await response.write(b"data: " + orjson.dumps(event.chunk) + b"\n\n")
            await asyncio.sleep(event.tokens * self._provider.token_interval_s)
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def _admit_neighbour(request: web.Request) -> None:
    """Faults are switched from this machine, and by no page in a browser on it."""
    remote = request.remote
    if remote is None or not ip_address(remote).is_loopback or "origin" in request.headers:
        raise Refused("The control endpoint answers this machine only.", status=403)
    if request.method == "POST" and request.content_type != "application/json":
        raise Refused("Send application/json.", status=415)


async def _misbehave(request: web.Request, fault: str, scene: Scene) -> web.StreamResponse:
    """Play a fault on the bare connection, then end it: aiohttp cannot go on with what it did not write."""
    transport = request.transport
    if transport is not None:
        await _play(transport, _farewell(steps(fault, scene)[1]))
        transport.close()
    # The connection is closing: aiohttp finds that out, and writes nothing of this.
    return web.Response()


def _farewell(script: Iterator[Step]) -> Iterator[Step]:
    """Announces the end of the connection, which a client could otherwise take for one to use again."""
    for step in script:
        if isinstance(step, Send) and step.status is not None:
            yield replace(step, data=step.data.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
        else:
            yield step


async def _play(transport: asyncio.Transport, script: Iterator[Step]) -> None:
    """Cancelled by aiohttp when the client leaves."""
    for step in script:
        match step:
            case Send(data=data):
                transport.write(data)
                await _sent(transport)
            case Pause(seconds=seconds):
                await asyncio.sleep(seconds)
            case Hang():
                await asyncio.sleep(_FOR_EVER_S)
            case Reset():
                linger = transport.get_extra_info("socket")
                linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                transport.abort()
            case Close():
                return


async def _sent(transport: asyncio.Transport) -> None:
    """Wait for a slow reader: aiohttp keeps its own flow control to itself."""
    while transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def start(provider: Provider, port: int = 0, host: str = "127.0.0.1") -> tuple[web.AppRunner, int]:
    """Listen.

    Returns:
        the runner, whose `cleanup()` stops the server, and the port that was bound.
    """
    runner = web.AppRunner(application(provider), handler_cancellation=True, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner, runner.addresses[0][1]


async def serve(provider: Provider, port: int, host: str) -> None:
    """Serve until SIGTERM or SIGINT; the line `ready <base URL>` says that it does."""
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    runner, bound = await start(provider, port, host)
    sys.stdout.write(f"ready http://{host}:{bound}/v1 {provider.name} (simulated)\n")
    sys.stdout.flush()
    await stopped.wait()
    await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="demo.simulated", description="A simulated provider.")
    parser.add_argument("--name", default="Aurora")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", action="append", required=True, help="a key to accept; may be repeated")
    parser.add_argument("--model", action="append", required=True, help="a model to serve; may be repeated")
    parser.add_argument("--first-token-ms", type=float, default=50)
    parser.add_argument("--tokens-per-second", type=float, default=200)
    given = parser.parse_args(arguments)
    provider = Provider(
        given.name, frozenset(given.key), given.model, given.first_token_ms / 1000, given.tokens_per_second
    )
    asyncio.run(serve(provider, given.port, given.host))


if __name__ == "__main__":
    main()
