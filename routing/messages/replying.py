"""A chat's reply as a message's reply."""

from __future__ import annotations

from typing import Any

import orjson

from routing.chats import read
from routing.interpreting import InterpretedSource, is_stream, request_id_of
from routing.messages.streaming import MessageEvents
from routing.messages.telling import error_of, head_of, message_of
from routing.replies import Reply, StreamReply


def reply_of(reply: Reply | StreamReply, model: Any) -> Reply | StreamReply:
    """`model` is the name that was asked for."""
    if isinstance(reply, Reply) and reply.status != 200:
        return refusal_of(reply)
    request_id = request_id_of(reply)
    head = head_of(model, request_id)
    if isinstance(reply, StreamReply):
        events = MessageEvents(head, request_id)
        return StreamReply(reply.status, reply.headers, InterpretedSource(reply.source, events))
    if is_stream(reply):
        return Reply(reply.status, reply.headers, MessageEvents(head, request_id).feed(reply.body))
    return Reply(reply.status, reply.headers, orjson.dumps(message_of(head, read(reply.body))))


def refusal_of(reply: Reply) -> Reply:
    """Of a chat, in Anthropic's form; the trace stays where it was."""
    said = orjson.loads(reply.body)
    told = error_of(reply.status, said.pop("error"), request_id_of(reply))
    return Reply(reply.status, reply.headers, orjson.dumps(told | said))
