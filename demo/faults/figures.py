"""Right answers whose usage cannot be true, or is not there."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from demo.faults.scripts import Scene, Script, fault, opening, sent, sent_whole
from demo.faults.wire import DONE, LAST_CHUNK, Send, Step, chunk, sse

_MARK = "usage goes here"


def _all(number: str) -> bytes:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return ("{" + ",".join(f'"{name}":{number}' for name in names) + "}").encode()


# As JSON text, since several of them are no JSON that a serialiser would write.
_USAGES: dict[str, bytes] = {
    "bad-usage-negative": _all("-7"),
    "bad-usage-nan": _all("NaN"),
    "bad-usage-1e18": _all("1e18"),
    "bad-usage-zero": _all("0"),
    "bad-usage-words": _all('"twelve"'),
    "bad-usage-cached": b'{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6,'
    b'"prompt_tokens_details":{"cached_tokens":5000}}',
}


def _dressed(body: dict[str, Any], usage: bytes) -> bytes:
    return orjson.dumps(body | {"usage": _MARK}).replace(orjson.dumps(_MARK), usage)


def _whole_script(usage: bytes) -> Script:
    def script(scene: Scene) -> Iterator[Step]:
        yield replace(sent_whole(scene, _dressed(scene.reply.body, usage)), usage=usage.decode())

    return script


def _stream_script(usage: bytes) -> Script:
    def script(scene: Scene) -> Iterator[Step]:
        yield opening()
        for event in scene.reply.events:
            if event.chunk.get("usage"):
                false = b"data: " + _dressed(event.chunk, usage) + b"\n\n"
                yield replace(sent(event, false), usage=usage.decode())
            else:
                yield sent(event)
        yield Send(chunk(DONE) + LAST_CHUNK)

    return script


for _slug, _usage in _USAGES.items():
    fault(_slug, whole=True)(_whole_script(_usage))
    fault(_slug, streamed=True)(_stream_script(_usage))


@fault("bad-usage-missing", whole=True)
def no_usage(scene: Scene) -> Iterator[Step]:
    rest = {name: value for name, value in scene.reply.body.items() if name != "usage"}
    yield replace(sent_whole(scene, orjson.dumps(rest)), usage=None)


@fault("bad-usage-missing", streamed=True)
def no_usage_stream(scene: Scene) -> Iterator[Step]:
    yield opening()
    for event in scene.reply.events:
        if not event.chunk.get("usage"):
            yield sent(event, sse(event.chunk))
    yield Send(chunk(DONE) + LAST_CHUNK)
