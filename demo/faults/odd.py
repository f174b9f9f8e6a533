"""Right answers in an odd shape or late: the caller must get them untouched."""

from collections.abc import Iterator
from itertools import cycle, pairwise
from typing import Any

import orjson

from demo.answers import Event
from demo.faults.scripts import Scene, fault, opening, paced, right_stream, right_whole, sent, sent_whole
from demo.faults.wire import DONE, LAST_CHUNK, Pause, Send, Step, chunk, head, sse, whole

# Signs at which `str.splitlines` cuts a line and server-sent events do not.
LINE_SIGNS = "\u2028\u2029\u0085"
# The end of the data line and of the blank line; CR then LF would be one line end.
_LINE_ENDS = tuple(
    pair for pair in (b"\n\n", b"\r\n\r\n", b"\r\r", b"\r\n\n", b"\n\r\n", b"\n\r", b"\r\n\r", b"\r\r\n")
)


def with_text(body: dict[str, Any], text: str) -> dict[str, Any]:
    """The same answer or chunk with this text put before the first choice's own."""
    if not body.get("choices"):
        return body | {"note": text}
    first, *others = body["choices"]
    for part in ("message", "delta"):
        if part in first:
            inner = first[part]
            return body | {
                "choices": [first | {part: inner | {"content": text + (inner.get("content") or "")}}, *others]
            }
    return body | {"choices": [first | {"text": text + first["text"]}, *others]}


@fault("slow-headers")
def slow_headers(scene: Scene) -> Iterator[Step]:
    """The response's head comes a few bytes at a time."""
    script = right_stream(scene) if scene.stream else right_whole(scene)
    for step in script:
        if isinstance(step, Send) and step.status:
            yield from _dripped_head(step, scene.delay_s)
        else:
            yield step


def _dripped_head(step: Send, delay_s: float) -> Iterator[Step]:
    end = step.data.index(b"\r\n\r\n") + 4
    cuts = [end * nth // 10 for nth in range(11)]
    for start, stop in pairwise(cuts):
        yield Pause(delay_s / 10)
        yield Send(step.data[start:stop], status=step.status)
    yield Send(step.data[end:], tokens=step.tokens, usage=step.usage)


@fault("late-first-byte", streamed=True)
def late_stream(scene: Scene) -> Iterator[Step]:
    yield opening()
    yield Pause(scene.delay_s)
    yield from paced(scene, scene.reply.events)
    yield Send(chunk(DONE) + LAST_CHUNK)


@fault("late-first-byte", whole=True)
def late_body(scene: Scene) -> Iterator[Step]:
    data = whole(200, scene.json)
    yield Send(data[: -len(scene.json)], status=200)
    yield Pause(scene.delay_s)
    yield Send(scene.json, tokens=scene.reply.tokens, usage=scene.reply.usage)


@fault("no-done", streamed=True)
def no_done(scene: Scene) -> Iterator[Step]:
    """All of the answer, its finish reason too; only `[DONE]` is missing."""
    yield opening()
    yield from paced(scene, scene.reply.events)
    yield Send(LAST_CHUNK)


@fault("unsolicited", whole=True)
def unsolicited(scene: Scene) -> Iterator[Step]:
    """A second response nobody asked for: whoever reuses the connection reads another's answer."""
    yield sent_whole(scene)
    yield Send(whole(200, orjson.dumps(with_text(scene.reply.body, "not yours: "))))


@fault("unsolicited", streamed=True)
def unsolicited_after_stream(scene: Scene) -> Iterator[Step]:
    yield from right_stream(scene)
    yield Send(whole(200, orjson.dumps(with_text(scene.reply.body, "not yours: "))))


@fault("crlf-mix", streamed=True)
def line_end_mix(scene: Scene) -> Iterator[Step]:
    """Every line end of the standard, each byte a chunk of its own."""
    ends = cycle(_LINE_ENDS)
    yield opening()
    for event in scene.reply.events:
        yield from _bytewise(sse(event.chunk).rstrip() + next(ends), event)
    yield from _bytewise(DONE.rstrip() + next(ends), Event({}))
    yield Send(LAST_CHUNK)


@fault("crlf-mix", whole=True)
def bytewise_json(scene: Scene) -> Iterator[Step]:
    spaced = orjson.dumps(scene.reply.body, option=orjson.OPT_INDENT_2).replace(b"\n", b"\r\n")
    yield Send(head(200, {"content-type": "application/json", "transfer-encoding": "chunked"}), status=200)
    yield from _bytewise(spaced, Event({"usage": scene.reply.usage}, scene.reply.tokens))
    yield Send(LAST_CHUNK)


def _bytewise(data: bytes, event: Event) -> Iterator[Step]:
    for nth in range(len(data) - 1):
        yield Send(chunk(data[nth : nth + 1]))
    yield sent(event, data[-1:])


@fault("sse-odd", streamed=True)
def odd_fields(scene: Scene) -> Iterator[Step]:
    """A byte order mark, comments, other fields, no space after the colon, data over several lines."""
    yield opening()
    yield Send(chunk(b"\xef\xbb\xbf: hello\n\n: and again\nretry: 1000\nevent: message\n"))
    for nth, event in enumerate(scene.reply.events):
        data = orjson.dumps(event.chunk)
        lines = b"data:%s\ndata:%s" % (data[:1], data[1:]) if nth % 2 else b"data:" + data
        yield sent(event, b"id: %d\n:\n%s\n\n" % (nth, lines))
    yield Send(chunk(b"data:[DONE]\n\n") + LAST_CHUNK)


@fault("u2028", streamed=True)
def line_signs_stream(scene: Scene) -> Iterator[Step]:
    yield opening()
    for nth, event in enumerate(scene.reply.events):
        marked = with_text(event.chunk, LINE_SIGNS) if nth == scene.first_content else event.chunk
        yield sent(event, sse(marked))
    yield Send(chunk(DONE) + LAST_CHUNK)


@fault("u2028", whole=True)
def line_signs(scene: Scene) -> Iterator[Step]:
    yield sent_whole(scene, orjson.dumps(with_text(scene.reply.body, LINE_SIGNS)))
