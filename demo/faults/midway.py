"""Faults in the middle of an answer: some of a stream has been seen, a whole answer never becomes one."""

from collections.abc import Iterator

import orjson

from demo.faults.early import error_body
from demo.faults.scripts import Scene, fault, opening, paced
from demo.faults.wire import LAST_CHUNK, Close, Hang, Reset, Send, Step, chunk, sse, whole


def half_stream(scene: Scene) -> Iterator[Step]:
    yield opening()
    yield from paced(scene, scene.reply.events[: scene.middle])


def half_whole(scene: Scene) -> Send:
    """Headers that promise all, and half of the body."""
    return Send(whole(200, scene.json)[: -(len(scene.json) // 2)], status=200)


def half(scene: Scene) -> Iterator[Step]:
    if scene.stream:
        yield from half_stream(scene)
    else:
        yield half_whole(scene)


@fault("reset-midstream")
def reset_midstream(scene: Scene) -> Iterator[Step]:
    yield from half(scene)
    yield Reset()


@fault("stall")
def stall(scene: Scene) -> Iterator[Step]:
    yield from half(scene)
    yield Hang()


@fault("cut-midstream", streamed=True)
def cut_stream(scene: Scene) -> Iterator[Step]:
    """HTTP ends well, the answer does not: no finish reason, no `[DONE]`."""
    yield from half_stream(scene)
    yield Send(LAST_CHUNK)


@fault("cut-midstream", "wrong-length", whole=True)
def too_little(scene: Scene) -> Iterator[Step]:
    yield half_whole(scene)
    yield Close()


@fault("wrong-length", streamed=True)
def chunk_longer_than_its_bytes(scene: Scene) -> Iterator[Step]:
    event = sse(scene.reply.events[scene.middle].chunk)
    yield from half_stream(scene)
    yield Send(b"%x\r\n%s" % (2 * len(event), event))
    yield Close()


@fault("wrong-length-short", whole=True)
def too_much(scene: Scene) -> Iterator[Step]:
    """The length covers half; the rest lies on the connection, which stays open."""
    half_length = str(len(scene.json) // 2)
    yield Send(whole(200, scene.json, {"content-length": half_length}), status=200)


@fault("wrong-length-short", streamed=True)
def chunk_shorter_than_its_bytes(scene: Scene) -> Iterator[Step]:
    event = sse(scene.reply.events[scene.middle].chunk)
    yield from half_stream(scene)
    yield Send(b"%x\r\n%s\r\n" % (len(event) // 2, event) + LAST_CHUNK)
    yield Close()


@fault("error-event-midway", streamed=True)
def error_event(scene: Scene) -> Iterator[Step]:
    yield from half_stream(scene)
    yield Send(chunk(sse(error_body(500, scene.key))) + LAST_CHUNK)


@fault("error-event-midway", whole=True)
def error_beside_choices(scene: Scene) -> Iterator[Step]:
    yield Send(whole(200, orjson.dumps(scene.reply.body | error_body(500, scene.key))), status=200)
