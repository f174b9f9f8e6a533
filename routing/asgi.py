"""The lean handler: what Django's own ASGI handler does for a view, without signals and thread hops.

    bytes → bounded body → ASGIRequest → URL resolver → view → Reply → ASGI `send`

Views behind it are async, return a `Reply` or `StreamReply`, and never touch the ORM.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from io import BytesIO
from itertools import chain
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import Http404
from django.urls import URLResolver, get_resolver

from common.asgi import Message, Receive, Scope, Send
from common.errors import (
    ClientClosedRequest,
    Draining,
    InternalError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    ShareAIError,
    TemporarilyUnavailable,
    UnsupportedMediaType,
)
from common.ids import new_request_id
from common.tracing import TRACEPARENT, Trace, trace_in
from routing.flights import TIME_UP, WRITER, Flight, Flights, refusal_of_ended
from routing.rendering import error_reply
from routing.replies import Reply, StreamReply

MAX_BODY_BYTES = 10 * 1024 * 1024
MOST_PATHS = 4096
MAX_PATH_CHARS = 2048
"""Matches are remembered by path, and whoever asks need not have a key yet."""
MOST_GATHERED_BYTES = 256 * 1024 * 1024
"""Of bodies that are still arriving, in one process: whoever sends one need not have a key yet."""
MAX_HEADERS = 64
MOST_AGENT_CHARS = 120
MAX_HEADER_BYTES = 32 * 1024

_TRACEPARENT = TRACEPARENT.encode()

View = Callable[..., Awaitable[Reply | StreamReply]]

logger = logging.getLogger(__name__)


class GatewayRequest(ASGIRequest):
    """Django's request with what the data plane needs besides: the raw body, the flight, the request's id.

    Django's own constructor spends a tenth of a request's time on `META`, which nothing on `/v1` reads; here it is
    made when somebody asks, and `header` answers from the bytes.
    """

    trusted_proxies = 0
    """How many in front append to `X-Forwarded-For`; set by the handler where there are any."""

    def __init__(
        self, scope: Scope, by_name: dict[bytes, bytes], payload: bytes, flight: Flight, request_id: str
    ) -> None:
        """`by_name` holds the headers, of several of one name the last."""
        self.scope = scope
        self.by_name = by_name
        self.method = scope["method"]
        self.path = self.path_info = scope["path"]
        self.payload = payload
        self.flight = flight
        self.request_id = request_id

    def __getattr__(self, name: str) -> Any:
        """Whatever else Django's request has: built whole at the first need."""
        if name.startswith("__") or "_built" in self.__dict__:
            raise AttributeError(name)
        self._built = True
        super().__init__(self.scope, BytesIO(self.payload))
        return getattr(self, name)

    def header(self, name: str) -> str | None:
        """A header by its lower-case name; several of one name are joined, as in `META`."""
        wanted = name.encode()
        value = self.by_name.get(wanted)
        if value is None:
            return None
        headers = self.scope["headers"]
        if len(headers) != len(self.by_name):
            value = b",".join(value for header, value in headers if header == wanted)
        return value.decode("latin-1")

    @property
    def user_agent(self) -> str:
        return (self.header("user-agent") or "")[:MOST_AGENT_CHARS]

    @property
    def sdk_retry(self) -> int:
        """How often the SDK has tried before, as it says."""
        text = self.header("x-stainless-retry-count")
        return int(text) if text and text.isdecimal() and len(text) < 4 else 0

    @property
    def trace(self) -> Trace | None:
        """Of the caller's, which the request belongs to, as it says."""
        if _TRACEPARENT not in self.by_name:
            return None
        return trace_in(self.header(TRACEPARENT) or "")

    @property
    def address(self) -> str:
        """The caller's, as the trusted proxies tell it, else as the server knows it; empty where nobody does."""
        if self.trusted_proxies:
            return forwarded_address(self.header("x-forwarded-for") or "", self.trusted_proxies)
        client = self.scope.get("client")
        return client[0] if client else ""


def forwarded_address(listed: str, trusted_proxies: int) -> str:
    """What the outermost of so many proxies said; "" for a request that did not come through all of them."""
    said = listed.split(",")
    if len(said) < trusted_proxies:
        return ""
    address = said[-trusted_proxies].strip()
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


class LeanHandler:
    """Serves the URLs of `urlconf`. `flights` knows what is in flight; set `draining` before stopping."""

    def __init__(
        self, urlconf: str, flights: Flights, *, body_deadline_s: float = 30.0, trusted_proxies: int = 0
    ) -> None:
        # The URLs never change and few are asked for, so a match is made once.
        self._view_at = lru_cache(MOST_PATHS)(partial(_view_at, get_resolver(urlconf)))
        self._flights = flights
        self._body_deadline_s = body_deadline_s
        self._trusted_proxies = trusted_proxies
        self._gathered_bytes = 0
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        flight = self._flights.enter(receive)
        if extensions := scope.get("extensions"):
            # Taken out, for it knows the scope: what refers to itself waits for the garbage collector.
            flight.writer = extensions.pop(WRITER, None)
        request_id = new_request_id()
        try:
            reply = await self._reply(scope, receive, flight, request_id)
            try:
                await reply.send(send, flight)
            finally:
                reply.close()
        except asyncio.CancelledError:
            if flight.ended_by is None:
                raise
            flight.task.uncancel()
            logger.info("request %s ended early: %s", request_id, flight.ended_by)
        except ClientClosedRequest:
            logger.info("request %s: the caller left before its body was whole", request_id)
        finally:
            self._flights.leave(flight)

    async def _reply(self, scope: Scope, receive: Receive, flight: Flight, request_id: str) -> Reply | StreamReply:
        try:
            if self.draining:
                raise Draining()
            by_name = _check_head(scope)
            body = await self._body(receive, flight)
            request = GatewayRequest(scope, by_name, body, flight, request_id)
            if self._trusted_proxies:
                request.trusted_proxies = self._trusted_proxies
            view, args, kwargs = self._view_at(request.path_info)
            reply: Reply | StreamReply = await view(request, *args, **kwargs)
        except Http404:
            reply = error_reply(_nothing_at(scope["path"]), request_id)
        except ShareAIError as error:
            reply = error_reply(error, request_id)
        except asyncio.CancelledError:
            reply = error_reply(refusal_of_ended(flight), request_id)
        except Exception:
            logger.exception("request %s failed unforeseen", request_id)
            reply = error_reply(InternalError(), request_id)
        return reply

    async def _body(self, receive: Receive, flight: Flight) -> bytes:
        flight.deadline = flight.started + self._body_deadline_s
        try:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                return message.get("body", b"")
            return await self._gathered(message, receive)
        except asyncio.CancelledError:
            if flight.ended_by != TIME_UP:
                raise
            refusal_of_ended(flight)
            flight.ended_by = None
            raise InvalidRequest(f"The body did not arrive within {self._body_deadline_s:g} seconds.") from None
        finally:
            flight.deadline = None

    async def _gathered(self, message: Message, receive: Receive) -> bytes:
        """A body that comes in pieces, of which `message` is the first. Raises: ShareAIError."""
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                self._gathered_bytes += len(parts[-1])
                if size > MAX_BODY_BYTES:
                    raise PayloadTooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.")
                if self._gathered_bytes > MOST_GATHERED_BYTES:
                    raise TemporarilyUnavailable("Too many large requests are arriving at once.", retry_after_s=1)
                if message["type"] == "http.disconnect":
                    raise ClientClosedRequest()
                if not message.get("more_body"):
                    return b"".join(parts)
                message = await receive()
        finally:
            self._gathered_bytes -= size


def _view_at(resolver: URLResolver, path: str) -> tuple[View, tuple[Any, ...], dict[str, Any]]:
    """What serves a path, with the arguments that are in it. Raises: Http404.

    A class-based view is set up and dispatched as by `as_view`, without the coroutine that `csrf_exempt` puts around
    it: DRF exempts all its views, and no middleware that would ask for a token runs here.
    """
    match = resolver.resolve(path)
    view_class: Callable[..., Any] | None = getattr(match.func, "view_class", None)
    if view_class is None:
        return match.func, match.args, match.kwargs
    make = partial(view_class, **match.func.view_initkwargs)  # type: ignore[attr-defined]

    def enter(request: GatewayRequest, *args: Any, **kwargs: Any) -> Awaitable[Reply | StreamReply]:
        view = make()
        view.setup(request, *args, **kwargs)
        entered: Awaitable[Reply | StreamReply] = view.dispatch(request, *args, **kwargs)
        return entered

    return enter, match.args, match.kwargs


def _nothing_at(path: str) -> NotFound:
    """With what usually helps: addresses are put together by programs, from halves that people typed."""
    if path.startswith("/v1/v1/messages"):
        return NotFound(f"There is no {path} here. The base URL of Anthropic's SDKs ends before /v1.")
    if path.startswith("/v1/v1/"):
        return NotFound(f"There is no {path} here. The base URL of an SDK ends in /v1, once.")
    if path.endswith("/"):
        return NotFound(f"There is no {path} here. Leave out the slash at its end.")
    return NotFound(f"There is no {path} here. The API reference, /docs/api, lists what there is.")


def _check_head(scope: Scope) -> dict[bytes, bytes]:
    """The headers by name. Raises: ShareAIError."""
    if len(scope["path"]) > MAX_PATH_CHARS:
        raise InvalidRequest(f"The address has more than {MAX_PATH_CHARS} characters.")
    headers = scope["headers"]
    by_name: dict[bytes, bytes] = dict(headers)
    if by_name.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
        raise UnsupportedMediaType("Send the body without Content-Encoding.")
    length = by_name.get(b"content-length", b"0")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    if len(headers) > MAX_HEADERS or sum(map(len, chain.from_iterable(headers))) > MAX_HEADER_BYTES:
        raise InvalidRequest(f"More than {MAX_HEADERS} headers, or more than {MAX_HEADER_BYTES} bytes of them.")
    return by_name
