"""Bounds for the bodies that Django reads: it takes them whole before it looks at them, of any size and at any pace.

What is too large or too slow is refused before there is a request for Django to see. So is a NUL in an address or a
form, which PostgreSQL can neither hold nor look for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from common.errors import InvalidRequest, PayloadTooLarge, ShareAIError

API = "/api/"
_NUL, _FORM = b"%00", b"application/x-www-form-urlencoded"
_NUL_REFUSED = "Nothing here has a NUL character in it."

Message = MutableMapping[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Any], Awaitable[None]]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Refused(Exception):
    def __init__(self, refusal: ShareAIError) -> None:
        self.refusal = refusal


class BoundedBodies:
    """Args: deadline_s: from the head to the end of the body."""

    def __init__(self, handler: Handler, most_bytes: int, deadline_s: float) -> None:
        self._handler = handler
        self._most_bytes = most_bytes
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check_length(scope)
            _check_address(scope)
            await self._handler(scope, self._bounded(receive, _is_form(scope)), send)
        except _Refused as refused:
            await _refuse(scope, refused.refusal, send)

    def _check_length(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._most_bytes:
                raise _Refused(self._too_large())

    def _bounded(self, receive: Receive, is_form: bool) -> Receive:
        """What comes after the body, that the caller has left, may take as long as it likes."""
        give_up_at = asyncio.get_running_loop().time() + self._deadline_s
        size = 0
        is_whole = False
        before = b""

        async def bounded() -> Message:
            nonlocal size, is_whole, before
            if is_whole:
                return await receive()
            try:
                async with asyncio.timeout_at(give_up_at):
                    message = await receive()
            except TimeoutError:
                slow = InvalidRequest(f"The body did not arrive within {self._deadline_s:g} seconds.")
                raise _Refused(slow) from None
            size += len(message.get("body", b""))
            if size > self._most_bytes:
                raise _Refused(self._too_large())
            if is_form:
                piece = before + message.get("body", b"")
                if _NUL in piece:
                    raise _Refused(InvalidRequest(_NUL_REFUSED))
                before = piece[1 - len(_NUL) :]
            is_whole = not message.get("more_body")
            return message

        return bounded

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"The body is larger than {self._most_bytes} bytes.")


def _check_address(scope: Scope) -> None:
    if "\0" in scope["path"] or _NUL in scope["query_string"]:
        raise _Refused(InvalidRequest(_NUL_REFUSED))


def _is_form(scope: Scope) -> bool:
    return any(name == b"content-type" and value.startswith(_FORM) for name, value in scope["headers"])


async def _refuse(scope: Scope, refusal: ShareAIError, send: Send) -> None:
    if scope["path"].startswith(API):
        kind, body = b"application/json", orjson.dumps(refusal.body())
    else:
        kind, body = b"text/plain; charset=utf-8", refusal.message.encode()
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
