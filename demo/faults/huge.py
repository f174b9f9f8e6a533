"""Answers without an end, or larger than anyone should hold in memory."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import repeat
from typing import Any
from zlib import MAX_WBITS, compressobj

import orjson

from demo.faults.odd import with_text
from demo.faults.scripts import Scene, fault, opening, paced, sent, sent_whole
from demo.faults.wire import DONE, LAST_CHUNK, Pause, Send, Step, chunk, head, sse

_MIB = 1 << 20
BIG_EVENT_BYTES = 10 * _MIB
_GZIP = MAX_WBITS | 16


def forever(scene: Scene, piece: Send) -> Iterator[Step]:
    many = Send(piece.data * scene.endless_pieces, tokens=piece.tokens * scene.endless_pieces)
    for each in repeat(many):
        yield each
        yield Pause(scene.endless_interval_s)


@fault("endless-comments", streamed=True)
def endless_comments(scene: Scene) -> Iterator[Step]:
    yield opening()
    yield from forever(scene, Send(chunk(b": still thinking\n\n")))


@fault("endless-comments", whole=True)
def endless_whitespace(scene: Scene) -> Iterator[Step]:
    yield Send(head(200, {"content-type": "application/json", "transfer-encoding": "chunked"}), status=200)
    yield from forever(scene, Send(chunk(b" " * 64)))


@fault("endless-tokens", streamed=True)
def endless_tokens(scene: Scene) -> Iterator[Step]:
    upto = scene.first_content + 1
    yield opening()
    yield from paced(scene, scene.reply.events[:upto])
    yield from forever(scene, sent(scene.reply.events[upto - 1]))


@fault("endless-tokens", whole=True)
def endless_text(scene: Scene) -> Iterator[Step]:
    """A body that stays inside its first string."""
    opened = scene.json[: scene.json.index(b'":"') + 3]
    yield Send(head(200, {"content-type": "application/json", "transfer-encoding": "chunked"}), status=200)
    yield Send(chunk(opened))
    yield from forever(scene, Send(chunk(b" and so on" * 100)))


@fault("event-10mib", streamed=True)
def big_event(scene: Scene) -> Iterator[Step]:
    yield opening()
    for nth, event in enumerate(scene.reply.events):
        big = nth == scene.first_content
        yield sent(event, sse(with_text(event.chunk, "x" * BIG_EVENT_BYTES)) if big else None)
    yield Send(chunk(DONE) + LAST_CHUNK)


@fault("event-10mib", whole=True)
def big_body(scene: Scene) -> Iterator[Step]:
    yield sent_whole(scene, orjson.dumps(with_text(scene.reply.body, "x" * BIG_EVENT_BYTES)))


@fault("gzip-bomb", whole=True)
def gzip_bomb(scene: Scene) -> Iterator[Step]:
    """Valid JSON behind many MiB of spaces."""
    packed = bomb(b" ", scene.inflated_bytes, scene.json)
    yield sent_whole(scene, packed, {"content-encoding": "gzip"})


@fault("gzip-bomb", streamed=True)
def gzip_bomb_stream(scene: Scene) -> Iterator[Step]:
    """Valid events behind a comment of many MiB."""
    events = b"\n\n" + b"".join(sse(event.chunk) for event in scene.reply.events) + DONE
    yield opening({"content-encoding": "gzip"})
    yield Send(chunk(bomb(b":", scene.inflated_bytes, events)) + LAST_CHUNK, tokens=scene.reply.tokens)


def bomb(filler: bytes, inflated_bytes: int, tail: bytes) -> bytes:
    """Gzip of `filler` over and over, then `tail`; about a thousandth of what it inflates to."""
    packed, state = _packed_filler(filler, inflated_bytes)
    rest = state.copy()
    return b"".join((packed, rest.compress(tail), rest.flush()))


@lru_cache(maxsize=8)
def _packed_filler(filler: bytes, inflated_bytes: int) -> tuple[bytes, Any]:
    state = compressobj(9, wbits=_GZIP)
    block = filler * _MIB
    packed = b"".join(state.compress(block) for _ in range(inflated_bytes // _MIB))
    return packed, state
