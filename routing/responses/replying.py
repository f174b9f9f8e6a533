"""A chat's reply as a response's reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from routing.chats import read
from routing.interpreting import InterpretedSource, is_stream, request_id_of
from routing.replies import Reply, StreamReply
from routing.responses.streaming import ResponseEvents
from routing.responses.telling import head_of, response_of


def reply_of(reply: Reply | StreamReply, wish: Mapping[str, Any], created_s: int) -> Reply | StreamReply:
    """Refusals are the same in both; everything else is told in the words of a response."""
    if reply.status != 200:
        return reply
    head = head_of(wish, request_id_of(reply), created_s)
    if isinstance(reply, StreamReply):
        return StreamReply(reply.status, reply.headers, InterpretedSource(reply.source, ResponseEvents(head)))
    if is_stream(reply):
        return Reply(reply.status, reply.headers, ResponseEvents(head).feed(reply.body))
    return Reply(reply.status, reply.headers, orjson.dumps(response_of(head, read(reply.body))))
