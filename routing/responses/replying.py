"""A chat's reply as a response's reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from routing.replies import Reply, StreamReply
from routing.responses.chats import read
from routing.responses.streaming import ResponseEvents, ResponseSource
from routing.responses.telling import head_of, response_of


def reply_of(
    reply: Reply | StreamReply, wish: Mapping[str, Any], request_id: str, created_s: int
) -> Reply | StreamReply:
    """Refusals are the same in both; everything else is told in the words of a response."""
    if reply.status != 200:
        return reply
    head = head_of(wish, request_id, created_s)
    if isinstance(reply, StreamReply):
        return StreamReply(reply.status, reply.headers, ResponseSource(reply.source, ResponseEvents(head)))
    if _is_stream(reply):  # one that was kept whole, and is told again in one piece
        return Reply(reply.status, reply.headers, ResponseEvents(head).feed(reply.body))
    return Reply(reply.status, reply.headers, orjson.dumps(response_of(head, read(reply.body))))


def _is_stream(reply: Reply) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in reply.headers)
