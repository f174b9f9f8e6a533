"""What goes over the wire, step by step: the registry of scripts, and the right answer's.

A script that ends without `Close` or `Reset` leaves the connection open for the next request.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson

from demo.answers import Event, Reply
from demo.faults.wire import DONE, LAST_CHUNK, STREAM_HEADERS, Pause, Send, Step, chunk, head, sse
from demo.faults.wire import whole as whole_response

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Scene:
    """All a script needs to know.

    Attributes:
        key: the caller's credential; 5xx answers leak it, as careless upstreams do.
        delay_s: how long the slow faults wait.
        endless_interval_s: time between the endless faults' pieces.
        endless_pieces: how many of them go out at once.
        redirect_to: where `redirect-metadata` points.
        inflated_bytes: what `gzip-bomb` inflates to.
    """

    reply: Reply
    stream: bool
    key: str = ""
    first_token_s: float = 0
    token_interval_s: float = 0
    retry_after_s: int = 1
    delay_s: float = 0.2
    endless_interval_s: float = 0.001
    endless_pieces: int = 1
    redirect_to: str = "http://169.254.169.254/latest/meta-data/"
    inflated_bytes: int = 64 * _MIB

    @property
    def json(self) -> bytes:
        return orjson.dumps(self.reply.body)

    @property
    def first_content(self) -> int:
        """The index of the first event that carries a token."""
        return next((nth for nth, event in enumerate(self.reply.events) if event.tokens), 0)

    @property
    def middle(self) -> int:
        """An index with content before it and content to come, where the answer is long enough."""
        carrying = [nth for nth, event in enumerate(self.reply.events) if event.tokens]
        return carrying[len(carrying) // 2] if carrying else 0


Script = Callable[[Scene], Iterator[Step]]
_WHOLE: dict[str, Script] = {}
_STREAMED: dict[str, Script] = {}


def steps(slug: str, scene: Scene) -> tuple[str, Iterator[Step]]:
    """Find the script of a fault.

    Returns:
        the slug that is really played (`ok` where a fault has no meaning for this kind of answer) and
        its steps.
    """
    scripts = _STREAMED if scene.stream else _WHOLE
    played = slug if slug in scripts else "ok"
    return played, scripts[played](scene)


def registered() -> set[str]:
    return {*_WHOLE, *_STREAMED}


def fault(*slugs: str, whole: bool = False, streamed: bool = False) -> Callable[[Script], Script]:
    """Register a script for whole answers, for streams, or (saying neither) for both."""

    def register(script: Script) -> Script:
        for slug in slugs:
            if whole or not streamed:
                _WHOLE[slug] = script
            if streamed or not whole:
                _STREAMED[slug] = script
        return script

    return register


def opening(headers: dict[str, str] | None = None) -> Send:
    return Send(head(200, STREAM_HEADERS | (headers or {})), status=200)


def sent(event: Event, data: bytes | None = None) -> Send:
    """One event as one HTTP chunk; `data` replaces its bytes."""
    return Send(chunk(data or sse(event.chunk)), tokens=event.tokens, usage=event.chunk.get("usage"))


def sent_whole(scene: Scene, body: bytes | None = None, headers: dict[str, str] | None = None) -> Send:
    """The whole answer in one step; `body` replaces its bytes."""
    data = whole_response(200, scene.json if body is None else body, headers)
    return Send(data, status=200, tokens=scene.reply.tokens, usage=scene.reply.usage)


def paced(scene: Scene, events: tuple[Event, ...]) -> Iterator[Step]:
    for nth, event in enumerate(events):
        wait_s = scene.first_token_s if nth == 0 else scene.token_interval_s * event.tokens
        if wait_s:
            yield Pause(wait_s)
        yield sent(event)


@fault("ok", "reset-between-requests", whole=True)
def right_whole(scene: Scene) -> Iterator[Step]:
    wait_s = scene.first_token_s + scene.token_interval_s * scene.reply.tokens
    if wait_s:
        yield Pause(wait_s)
    yield sent_whole(scene)


@fault("ok", "reset-between-requests", streamed=True)
def right_stream(scene: Scene) -> Iterator[Step]:
    yield opening()
    yield from paced(scene, scene.reply.events)
    yield Send(chunk(DONE) + LAST_CHUNK)


def partial(scene: Scene, upto: int) -> Iterator[Step]:
    yield opening()
    yield from paced(scene, scene.reply.events[:upto])
