"""The questions of a connection test, asked one after another; what each teaches is kept even if the next fails."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from django.utils.translation import gettext as _

from common.sse import SSEDecoder
from providers import diagnosis
from providers.catalog import kind_of
from providers.diagnosis import Failure
from providers.endpoints import COSTLY_KINDS, ENDPOINT_OF_KIND
from providers.presets import Preset, key_headers

_MOST_LIST_BYTES = 8 << 20
_MOST_ANSWER_BYTES = 256 << 10
_MOST_MODELS = 2000
_NO_LIST = (404, 405, 501)
_QUESTIONS: dict[str, tuple[Mapping[str, Any], str]] = {
    "embedding": ({"input": "hi"}, "data"),
    "moderation": ({"input": "hi"}, "results"),
    "rerank": ({"query": "hi", "documents": ["hi"]}, "results"),
}
"""The least that models without a chat can be asked, and where their answer stands."""


@dataclass(frozen=True, slots=True)
class Line:
    """Where and with what to ask."""

    preset: Preset
    base_url: str
    key: str
    auth_header: str
    api_version: str

    @property
    def host(self) -> str:
        return httpx.URL(self.base_url).netloc.decode()

    def headers(self) -> dict[str, str]:
        return dict(key_headers(self.auth_header, self.key)) if self.key else {}

    def list_headers(self) -> dict[str, str]:
        named = {name: value.replace("{key}", self.key) for name, value in self.preset.list_headers}
        return named if named and self.key else self.headers()

    def url(self, path: str) -> str:
        return self.base_url + path + (f"?api-version={self.api_version}" if self.api_version else "")


@dataclass(slots=True)
class Found:
    """What was learnt so far. `capabilities` are what was seen to work."""

    models: tuple[str, ...] = ()
    model: str = ""
    latency_ms: int | None = None
    first_token_ms: int | None = None
    capabilities: list[str] = field(default_factory=list)


class Conversation:
    """One run against one line. Raises `Failure` or `httpx.HTTPError` at the first question that goes wrong."""

    def __init__(self, client: httpx.Client, line: Line, found: Found, whole_s: float) -> None:
        self._client, self._line, self._found = client, line, found
        self._give_up_at = time.monotonic() + whole_s

    @property
    def host(self) -> str:
        return self._line.host

    def run(self, wanted: Sequence[str]) -> None:
        self.list_models()
        self.speak(self._choose(wanted))

    def speak(self, model: str, kind: str = "") -> None:
        """Asks for the least that a model can answer: one token, or one vector."""
        kind = kind or kind_of(model) or "chat"
        if kind in COSTLY_KINDS:
            if "list" not in self._found.capabilities:
                raise Failure("no_models", _("The server lists no models, and a picture costs too much for a test."))
            return
        self._found.model = model
        if (question := _QUESTIONS.get(kind)) is not None:
            self._ask_whole(model, kind, *question)
        else:
            self._chat(model)

    def list_models(self) -> None:
        started = time.monotonic()
        url = self._line.url("/models")
        with self._answer("GET", url, self._line.list_headers()) as response:
            body = self._read(response, _MOST_LIST_BYTES)
        self._found.latency_ms = _ms_since(started)
        failure = diagnosis.of_answer(response.status_code, response.headers, body, self._line.key, url)
        if failure is None:
            self._found.models = _listed(body)
            self._found.capabilities.append("list")
        elif response.status_code not in _NO_LIST:
            raise failure

    def _choose(self, wanted: Sequence[str]) -> str:
        offered = self._found.models
        candidates = [*wanted, *(model for model in offered if kind_of(model) == "chat"), *offered]
        if not candidates:
            raise Failure("no_models", _("The server lists no models. Add the name of one that it serves."))
        return candidates[0]

    def _chat(self, model: str) -> None:
        payload: dict[str, Any] | None = {
            "model": model,
            "messages": [{"role": "user", "content": "Say hi."}],
            "max_tokens": 1,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        url = self._line.url("/chat/completions")
        while payload is not None:
            started = time.monotonic()
            with self._answer("POST", url, self._line.headers(), payload) as response:
                if response.status_code == 200 and "event-stream" in response.headers.get("content-type", ""):
                    self._read_stream(response, started)
                    return
                body = self._read(response, _MOST_ANSWER_BYTES)
            payload = _easier(payload, response.status_code, diagnosis.quote(body, self._line.key))
        failure = diagnosis.of_answer(response.status_code, response.headers, body, self._line.key, url)
        if failure is not None:
            raise failure
        self._take(_parsed(body), started)
        if self._found.first_token_ms is None:
            raise Failure("empty", _("The answer has no text in it."))

    def _ask_whole(self, model: str, kind: str, asked: Mapping[str, Any], answered_in: str) -> None:
        url, started = self._line.url(f"/{ENDPOINT_OF_KIND[kind]}"), time.monotonic()
        with self._answer("POST", url, self._line.headers(), {"model": model, **asked}) as response:
            body = self._read(response, _MOST_ANSWER_BYTES)
        failure = diagnosis.of_answer(response.status_code, response.headers, body, self._line.key, url)
        if failure is not None:
            raise failure
        if not isinstance(_parsed(body).get(answered_in), list):
            raise _not_the_api()
        self._found.first_token_ms = _ms_since(started)
        self._found.capabilities.append(kind)

    def _read_stream(self, response: httpx.Response, started: float) -> None:
        """One token is the proof; after it the stream is read on for its usage only as far as that is cheap."""
        try:
            for data in self._events(response):
                self._take(_parsed(data), started, stream=True)
        except (Failure, httpx.HTTPError):
            if self._found.first_token_ms is None:
                raise
        if self._found.first_token_ms is None:
            raise Failure("empty", _("The stream ended without an answer."))

    def _events(self, response: httpx.Response) -> Iterator[bytes]:
        decoder = SSEDecoder(_MOST_ANSWER_BYTES)
        for chunk in self._chunks(response, _MOST_ANSWER_BYTES):
            for event in decoder.feed(chunk):
                if event.data.strip() == b"[DONE]":
                    return
                yield event.data

    def _take(self, answer: dict[str, Any], started: float, *, stream: bool = False) -> None:
        if answer.get("error"):
            said = diagnosis.quote(orjson.dumps(answer), self._line.key)
            raise Failure("rejected", _("The server answered with an error: %(said)s.") % {"said": said})
        choices = answer.get("choices")
        if not isinstance(choices, list):
            raise _not_the_api()
        if self._found.first_token_ms is None and any(map(_says_something, choices)):
            self._found.first_token_ms = _ms_since(started)
            self._found.capabilities += ["chat", "stream"] if stream else ["chat"]
        if isinstance(answer.get("usage"), dict) and "usage" not in self._found.capabilities:
            self._found.capabilities.append("usage")

    @contextmanager
    def _answer(
        self, method: str, url: str, headers: dict[str, str], json: dict[str, Any] | None = None
    ) -> Iterator[httpx.Response]:
        content = None if json is None else orjson.dumps(json)
        typed = headers if json is None else headers | {"content-type": "application/json"}
        with self._client.stream(method, url, headers=typed, content=content) as response:
            yield response

    def _read(self, response: httpx.Response, most_bytes: int) -> bytes:
        return b"".join(self._chunks(response, most_bytes))

    def _chunks(self, response: httpx.Response, most_bytes: int) -> Iterator[bytes]:
        size = 0
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > most_bytes:
                raise Failure("too_large", _("The server answered with far more data than such an answer needs."))
            if time.monotonic() > self._give_up_at:
                raise Failure("timeout", _("The server keeps sending, but the answer does not end."))
            yield chunk


def _listed(body: bytes) -> tuple[str, ...]:
    """OpenAI lists under `data`; some servers answer with the bare list."""
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _not_the_api() from error
    rows = parsed.get("data") if isinstance(parsed, dict) else parsed
    if not isinstance(rows, list):
        raise _not_the_api()
    ids = [row.get("id") for row in rows if isinstance(row, dict)]
    return tuple(model for model in ids if isinstance(model, str) and 0 < len(model) <= 200)[:_MOST_MODELS]


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _not_the_api() from error
    if not isinstance(parsed, dict):
        raise _not_the_api()
    return parsed


def _says_something(choice: Any) -> bool:
    """A role alone is no token yet; one that is not text (of thinking, of a tool call) is."""
    said = (choice.get("delta") or choice.get("message")) if isinstance(choice, dict) else None
    if not isinstance(said, dict):
        return False
    return bool(choice.get("finish_reason") or any(value for name, value in said.items() if name != "role"))


def _easier(payload: dict[str, Any], status: int, said: str) -> dict[str, Any] | None:
    """The same question for a server that does not know one of our fields; None when there is nothing to ease."""
    if status not in (400, 422):
        return None
    if "max_completion_tokens" in said and "max_tokens" in payload:
        rest = {name: value for name, value in payload.items() if name != "max_tokens"}
        return rest | {"max_completion_tokens": 16}
    if "stream_options" in said and "stream_options" in payload:
        return {name: value for name, value in payload.items() if name != "stream_options"}
    return None


def _not_the_api() -> Failure:
    return Failure("not_the_api", _("The answer is not what an OpenAI-compatible server sends. Check the base URL."))


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
