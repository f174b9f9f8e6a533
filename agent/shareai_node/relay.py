"""A request from the console, carried out at a model server of this machine. It is the only way in.

What may come in is fixed here: four paths, the servers that discovery found or the owner named, the models that the
owner offers. Whatever the console asks, no other address, path or header of this network can be reached through it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from shareai_node.config import Server
from shareai_node.exchange import Exchange
from shareai_node.gate import Gate
from shareai_node.local import bearer
from shareai_node.offers import Offers
from shareai_node.tunnel.errors import Code, StreamGone

POSTS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings"})
MODELS_PATH = "/v1/models"
MOST_BODY_BYTES = 16 << 20
MOST_BODIES_BYTES = 128 << 20
"""Of all requests that are being read."""

_PARSED_ASIDE_BYTES = 1 << 20
_TIMEOUT = httpx.Timeout(300, connect=5, write=60, pool=5)
"""To the first byte and between two: a server may load a model first. The console has stricter limits of its own."""

_REQUEST_HEADERS = frozenset({"content-type", "accept", "x-request-id", "traceparent"})
_ANSWER_HEADERS = frozenset({"content-type", "content-length", "retry-after"})
_log = logging.getLogger(__name__)


class Refused(Exception):
    """The request is not carried out."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]


class Relay:
    """
    Args:
        missed: called when a local server could not be reached, so that it is looked for at once.
    """

    def __init__(self, http: httpx.AsyncClient, offers: Offers, gate: Gate, missed: Callable[[], None]) -> None:
        self._http = http
        self._offers = offers
        self._gate = gate
        self._missed = missed
        self._bodies_bytes = 0

    async def serve(self, exchange: Exchange) -> None:
        """To the stream's end, whichever it is. Cancelled, it breaks off the local server's work."""
        try:
            request = _request(exchange.head)
            if request.method == "GET":
                await self._list_models(exchange)
            else:
                await self._work(exchange, request)
        except Refused as refused:
            _log.info("stream %d: %s %s", exchange.stream, refused.code.name, refused.reason)
            exchange.reset(refused.code, refused.reason)
        except StreamGone:
            return  # the console broke it off

    async def _list_models(self, exchange: Exchange) -> None:
        """Of what is offered. What else the server has is no business of the console's."""
        models = [{"id": model, "object": "model", "owned_by": "node"} for model in self._offers.offered()]
        exchange.begin(200, {"content-type": "application/json"})
        await exchange.send(json.dumps({"object": "list", "data": models}).encode())
        exchange.finish()

    async def _work(self, exchange: Exchange, request: Request) -> None:
        if reason := self._gate.refusal():
            raise Refused(Code.REFUSED_STREAM, reason)
        self._gate.enter()
        try:
            body = await self._body(exchange)
            server = self._offers.server_of(await _model_in(body))
            if server is None:
                raise Refused(Code.NOT_ALLOWED, "this node does not offer that model")
            async with self._gate.slot():
                await self._pass_on(exchange, request, server, body)
        finally:
            self._gate.leave()

    async def _body(self, exchange: Exchange) -> bytes:
        body = bytearray()
        try:
            while (part := await exchange.read()) is not None:
                body += part
                self._bodies_bytes += len(part)
                if len(body) > MOST_BODY_BYTES:
                    raise Refused(Code.NOT_ALLOWED, f"the body is larger than {MOST_BODY_BYTES} bytes")
                if self._bodies_bytes > MOST_BODIES_BYTES:
                    raise Refused(Code.REFUSED_STREAM, "too many large requests at once")
            return bytes(body)
        finally:
            self._bodies_bytes -= len(body)

    async def _pass_on(self, exchange: Exchange, request: Request, server: Server, body: bytes) -> None:
        outgoing = self._http.build_request(
            request.method,
            server.base_url + request.path,
            content=body,
            headers={**request.headers, **bearer(server), "accept-encoding": "identity"},
            timeout=_TIMEOUT,
        )
        try:
            answer = await self._http.send(outgoing, stream=True)
            try:
                await _pass_back(exchange, answer)
            finally:
                await answer.aclose()
        except httpx.HTTPError as error:
            raise self._local_failure(error, server) from error

    def _local_failure(self, error: httpx.HTTPError, server: Server) -> Refused:
        _log.warning("%s: %r", server.base_url, error)
        self._missed()
        if isinstance(error, (httpx.ReadTimeout, httpx.WriteTimeout)):
            return Refused(Code.LOCAL_TIMEOUT, "the local server did not answer in time")
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return Refused(Code.LOCAL_UNREACHABLE, "nothing answers where the local server was")
        return Refused(Code.LOCAL_UNREACHABLE, "the local server broke off")


async def _pass_back(exchange: Exchange, answer: httpx.Response) -> None:
    headers = {name: value for name, value in answer.headers.items() if name in _ANSWER_HEADERS}
    exchange.begin(answer.status_code, headers)
    async for part in answer.aiter_raw():
        await exchange.send(part)
    exchange.finish()


def _request(head: bytes) -> Request:
    """Raises: Refused."""
    try:
        said: Any = json.loads(head)
        method, path, headers = said["method"], said["path"], said.get("headers") or {}
        kept = {
            name.lower(): value
            for name, value in headers.items()
            if name.lower() in _REQUEST_HEADERS and isinstance(value, str) and value.isprintable() and value.isascii()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused(Code.NOT_ALLOWED, "that is no request") from None
    if not ((method == "POST" and path in POSTS) or (method == "GET" and path == MODELS_PATH)):
        raise Refused(Code.NOT_ALLOWED, "this node serves no such path")
    return Request(method, path, kept)


async def _model_in(body: bytes) -> str:
    """Raises: Refused: the body names no model, or so that two servers could read two.

    Servers written in Go read keys in any case, so `Model` beside `model` would be another way to ask.
    """
    try:
        said = await asyncio.to_thread(json.loads, body) if len(body) > _PARSED_ASIDE_BYTES else json.loads(body)
    except (ValueError, RecursionError):
        said = None
    names = [name for name in said if name.lower() == "model"] if isinstance(said, dict) else []
    if names != ["model"] or not isinstance(said["model"], str):
        raise Refused(Code.NOT_ALLOWED, "the body names no model")
    model: str = said["model"]
    return model
