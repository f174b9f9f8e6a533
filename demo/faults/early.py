"""Faults that give no usable content: another target has to answer."""

from collections.abc import Iterator
from typing import Any

import orjson

from demo.faults.scripts import Scene, Script, fault, opening, sent, sent_whole
from demo.faults.wire import DONE, LAST_CHUNK, Close, Hang, Reset, Send, Step, chunk, head, sse, whole

_HUGE_RETRY_AFTER_S = 1_000_000_000
_NOT_UTF8 = b"\xff\xfe\xc3\x28"
_WRONGLY_TYPED = {"id": 7, "object": ["chat"], "choices": {"first": "none"}, "usage": "lots", "model": None}
_WRONGLY_TYPED_EVENTS = (
    None,
    [1, 2],
    "text",
    _WRONGLY_TYPED,
    {"choices": [{"index": "zero", "delta": 5, "text": {}, "finish_reason": 3}]},
)
_ERRORS = {
    400: ("invalid_request_error", "context_length_exceeded", "The prompt is too long for this model."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("permission_error", "model_not_allowed", "This key may not use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    408: ("timeout_error", None, "The request took too long to arrive."),
    422: ("invalid_request_error", None, "The request cannot be processed."),
    429: ("rate_limit_error", "rate_limit_exceeded", "Rate limit reached."),
    529: ("overloaded_error", None, "Overloaded."),
}


def error_body(status: int, key: str = "") -> dict[str, object]:
    """OpenAI's error; a 5xx tells secrets, as careless upstreams do."""
    leak = f"worker http://10.0.0.7:8000/v1 failed with key {key}"
    kind, code, message = _ERRORS.get(status, ("server_error", "internal_error", leak))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def refuse(status: int, scene: Scene, headers: dict[str, str] | None = None) -> Send:
    return Send(whole(status, orjson.dumps(error_body(status, scene.key)), headers), status=status)


def _status_script(status: int) -> Script:
    def script(scene: Scene) -> Iterator[Step]:
        yield refuse(status, scene, {"retry-after": str(scene.retry_after_s)} if status == 429 else None)

    return script


for _status in (*_ERRORS, 500, 502, 503, 504):
    fault(str(_status))(_status_script(_status))


@fault("503-retry-after")
def come_back(scene: Scene) -> Iterator[Step]:
    yield refuse(503, scene, {"retry-after": str(scene.retry_after_s)})


@fault("429-retry-after-huge")
def come_back_in_thirty_years(scene: Scene) -> Iterator[Step]:
    yield refuse(429, scene, {"retry-after": str(_HUGE_RETRY_AFTER_S)})


@fault("redirect-metadata")
def redirect(scene: Scene) -> Iterator[Step]:
    yield Send(whole(307, b"", {"location": scene.redirect_to}), status=307)


@fault("reset")
def reset(scene: Scene) -> Iterator[Step]:
    yield Reset()


@fault("hang")
def hang(scene: Scene) -> Iterator[Step]:
    yield Hang()


@fault("hang-after-headers", streamed=True)
def hang_after_stream_headers(scene: Scene) -> Iterator[Step]:
    yield opening()
    yield Hang()


@fault("hang-after-headers", whole=True)
def hang_after_headers(scene: Scene) -> Iterator[Step]:
    length = str(len(scene.json))
    yield Send(head(200, {"content-type": "application/json", "content-length": length}), status=200)
    yield Hang()


@fault("200-html")
def html(scene: Scene) -> Iterator[Step]:
    page = b"<!doctype html><html><title>Sign in to the network</title></html>"
    yield Send(whole(200, page, {"content-type": "text/html; charset=utf-8"}), status=200)


@fault("200-error", whole=True)
@fault("200-error-json")
def error_with_200(scene: Scene) -> Iterator[Step]:
    yield Send(whole(200, orjson.dumps(error_body(500, scene.key))), status=200)


@fault("200-error", streamed=True)
def error_event_first(scene: Scene) -> Iterator[Step]:
    yield opening()
    yield Send(chunk(sse(error_body(500, scene.key))))
    yield Send(chunk(DONE) + LAST_CHUNK)


@fault("empty", whole=True)
def empty(scene: Scene) -> Iterator[Step]:
    yield Send(whole(200, b""), status=200)


@fault("empty", streamed=True)
def empty_stream(scene: Scene) -> Iterator[Step]:
    yield opening()
    yield Send(LAST_CHUNK)


@fault("empty-done", whole=True)
def no_choices(scene: Scene) -> Iterator[Step]:
    emptied: dict[str, Any] = {name: [] for name, value in scene.reply.body.items() if isinstance(value, list)}
    yield Send(whole(200, orjson.dumps(scene.reply.body | {"choices": [], "data": []} | emptied)), status=200)


@fault("empty-done", streamed=True)
def only_done(scene: Scene) -> Iterator[Step]:
    yield opening()
    yield Send(chunk(DONE) + LAST_CHUNK)


@fault("truncated-json", whole=True)
def truncated(scene: Scene) -> Iterator[Step]:
    yield Send(whole(200, scene.json[: len(scene.json) // 2]), status=200)


@fault("truncated-json", streamed=True)
def truncated_event(scene: Scene) -> Iterator[Step]:
    event = sse(scene.reply.events[scene.first_content].chunk)
    yield opening()
    yield Send(chunk(event[: len(event) // 2] + b"\n\n") + LAST_CHUNK)


@fault("wrong-types", whole=True)
def wrong_types(scene: Scene) -> Iterator[Step]:
    yield Send(whole(200, orjson.dumps(_WRONGLY_TYPED)), status=200)


@fault("wrong-types", streamed=True)
def wrong_types_stream(scene: Scene) -> Iterator[Step]:
    yield opening()
    for event in _WRONGLY_TYPED_EVENTS:
        yield Send(chunk(sse(event)))
    yield Send(chunk(DONE) + LAST_CHUNK)


@fault("invalid-utf8", whole=True)
def invalid_utf8(scene: Scene) -> Iterator[Step]:
    yield sent_whole(scene, scene.json.replace(b'":"', b'":"' + _NOT_UTF8))


@fault("invalid-utf8", streamed=True)
def invalid_utf8_stream(scene: Scene) -> Iterator[Step]:
    yield opening()
    for event in scene.reply.events[scene.first_content :]:
        yield sent(event, sse(event.chunk).replace(b'":"', b'":"' + _NOT_UTF8))
    yield Send(chunk(DONE) + LAST_CHUNK)
    yield Close()
