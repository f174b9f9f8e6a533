"""The inbound request as a value: `parse` turns a checked JSON body into a `Call`, or says what is wrong.

Only the fields that the gateway acts on are looked at. Everything else passes through to the upstream in
meaning, re-serialised from the parse, so that what was checked is what is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

import msgspec

from common.errors import InvalidRequest
from common.numbers import is_number, is_whole
from common.tracing import Trace
from providers.endpoints import CHAT as CHAT
from providers.endpoints import COMPLETIONS as COMPLETIONS
from providers.endpoints import EMBEDDINGS as EMBEDDINGS
from providers.endpoints import IMAGES, KIND_OF_ENDPOINT, MODERATIONS, RERANK, STREAMED, USUAL_MODELS
from providers.inputs import check_moderated, check_picture, check_reranked, repeated_bytes, sees_pictures

BYTES_PER_TOKEN = 4
"""An estimate for prompts: no refusal rests on it alone unless the prompt is far too long."""

_SUFFIX_SORTS = {"floor": "cheapest", "nitro": "throughput"}
_PLACE_SUFFIXES = {"local", "private"}
SUFFIXES = frozenset(_SUFFIX_SORTS) | _PLACE_SUFFIXES
_SORTS = {"price": "cheapest", "throughput": "throughput", "latency": "fastest"}
_MAX_FALLBACK_MODELS = 10
_MOST_TOKENS = 10_000_000
_MOST_CHOICES = 128
TOKEN_LIMITS = ("max_completion_tokens", "max_tokens", "n_predict")
"""One wish under three names; llama.cpp obeys the last one above the others."""
_EXTENSIONS = ("models", "provider", "route", "transforms")
STREAM_OPTIONS = "stream_options"
NEVER_DROPPED = frozenset((*TOKEN_LIMITS, "model", "messages", "prompt", "input", "stream", "tools", "n", "best_of"))
"""Without these a body would not be the same request, or its price not the one that was agreed to."""


class Preferences(msgspec.Struct, frozen=True):
    """The `provider` object of the body, OpenRouter's names. Prices in nano-USD per million tokens."""

    order: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    sort: str | None = None
    max_input_nanos: int | None = None
    max_output_nanos: int | None = None
    min_throughput: float | None = None
    max_latency_s: float | None = None
    denies_collection: bool = False
    quantizations: frozenset[str] = frozenset()


NO_PREFERENCES = Preferences()


class Call(msgspec.Struct, frozen=True):
    """One parsed inbound request.

    `models` are the names to serve, best first, without suffixes; `prompt_bytes` bounds the prompt's tokens
    from above, since no tokenizer makes more tokens than there are bytes. `headers` are as they came, with lower-case
    names; `payload` is the body as it came, where it is small enough to be known again by.
    """

    request_id: str
    endpoint: str
    body: dict[str, Any]
    model: str
    models: tuple[str, ...]
    stream: bool
    include_usage: bool
    max_tokens: int | None
    prompt_bytes: int
    requires: frozenset[str]
    preferences: Preferences = NO_PREFERENCES
    place: str | None = None
    session: str = ""
    sdk_retry: int = 0
    user_agent: str = ""
    wants_trace: bool = False
    cache_control: str = ""
    headers: Sequence[tuple[bytes, bytes]] = ()
    payload: bytes = b""
    trace: Trace | None = None
    continues: bool = False
    """The last message is the beginning of the answer, which another target gave."""

    @property
    def kind(self) -> str:
        return KIND_OF_ENDPOINT[self.endpoint]


def parse(
    endpoint: str,
    body: dict[str, Any],
    *,
    request_id: str,
    body_bytes: int,
    sdk_retry: int = 0,
    user_agent: str = "",
    wants_trace: bool = False,
    cache_control: str = "",
    headers: Sequence[tuple[bytes, bytes]] = (),
    payload: bytes = b"",
    trace: Trace | None = None,
) -> Call:
    """Checks the fields that steer the gateway.

    Raises:
        InvalidRequest: with `param` naming the field.
    """
    name = _first_name(endpoint, body)
    _CHECK_INPUT[endpoint](body)
    _check_choices(body)
    stream = _flag(body, "stream") if endpoint in STREAMED else False
    bare, suffix = _split_suffix(name)
    preferences = _preferences(body.get("provider"), _SUFFIX_SORTS.get(suffix or ""))
    return Call(
        request_id=request_id,
        endpoint=endpoint,
        body=body,
        model=name,
        models=_models(bare, name, body.get("models")),
        stream=stream,
        include_usage=_include_usage(body, stream),
        max_tokens=_max_tokens(body),
        prompt_bytes=body_bytes if endpoint != RERANK else body_bytes + repeated_bytes(body),
        requires=_requires(endpoint, body),
        preferences=preferences,
        place=suffix if suffix in _PLACE_SUFFIXES else None,
        session=str(body.get("user") or body.get("prompt_cache_key") or ""),
        sdk_retry=sdk_retry,
        user_agent=user_agent,
        wants_trace=wants_trace,
        cache_control=cache_control,
        headers=headers,
        payload=payload,
        trace=trace,
    )


def dropped_of(call: Call, dropped_params: frozenset[str]) -> tuple[str, ...]:
    """Which of a target's `dropped_params` the body has, by name. Who asked for usage in a stream is told it here."""
    if not dropped_params:
        return ()
    said = (name for name in dropped_params if call.body.get(name) is not None)
    return tuple(sorted(name for name in said if name != STREAM_OPTIONS))


def upstream_body(call: Call, upstream_model: str, dropped_params: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The body to send: the model renamed, our extensions removed, usage asked for in every stream, and without what
    the target cannot take."""
    body = {**call.body, "model": upstream_model}
    for name in _EXTENSIONS:
        body.pop(name, None)
    if call.stream:
        body[STREAM_OPTIONS] = {**(body.get(STREAM_OPTIONS) or {}), "include_usage": True}
    for name in dropped_params:
        body.pop(name, None)
    return body


def _required_text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        raise InvalidRequest(f"Missing required parameter: '{name}'.", param=name)
    if not isinstance(value, str) or not value or len(value) > 300:
        raise InvalidRequest(f"'{name}' must be a non-empty string of at most 300 characters.", param=name)
    return value


def _first_name(endpoint: str, body: Mapping[str, Any]) -> str:
    """`models` alone is enough, as with OpenRouter: its first is the one to try first."""
    if body.get("model") is None:
        more = body.get("models")
        if isinstance(more, list) and more:
            return _required_text({"models": more[0]}, "models")
        if (usual := USUAL_MODELS.get(endpoint)) is not None:
            return usual
    return _required_text(body, "model")


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidRequest(f"'{name}' must be true or false.", param=name)
    return value


def _check_messages(body: Mapping[str, Any]) -> None:
    messages = body.get("messages")
    if messages is None:
        raise InvalidRequest("Missing required parameter: 'messages'.", param="messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("'messages' must be a non-empty array of messages.", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequest(f"'messages[{index}]' must be an object with a 'role'.", param=f"messages[{index}]")


def _check_prompt(body: Mapping[str, Any]) -> None:
    if not isinstance(body.get("prompt"), (str, list)):
        raise InvalidRequest("'prompt' must be a string or an array.", param="prompt")


def _check_embedding_input(body: Mapping[str, Any]) -> None:
    value = body.get("input")
    if not isinstance(value, (str, list)) or not value:
        raise InvalidRequest("'input' must be a non-empty string or array.", param="input")


_CHECK_INPUT = {
    CHAT: _check_messages,
    COMPLETIONS: _check_prompt,
    EMBEDDINGS: _check_embedding_input,
    MODERATIONS: check_moderated,
    RERANK: check_reranked,
    IMAGES: check_picture,
}


def _split_suffix(name: str) -> tuple[str, str | None]:
    bare, colon, suffix = name.rpartition(":")
    if colon and suffix in SUFFIXES and bare:
        return bare, suffix
    return name, None


def _models(first: str, as_asked: str, more: Any) -> tuple[str, ...]:
    if more is None:
        return (first,)
    if (
        not isinstance(more, list)
        or len(more) > _MAX_FALLBACK_MODELS
        or not all(isinstance(name, str) and name for name in more)
    ):
        raise InvalidRequest(
            f"'models' must be an array of at most {_MAX_FALLBACK_MODELS} model names.", param="models"
        )
    return tuple(dict.fromkeys((first, *(name for name in more if name != as_asked))))


def _include_usage(body: Mapping[str, Any], stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise InvalidRequest("'stream_options' must be an object.", param="stream_options")
    if not stream:
        raise InvalidRequest("'stream_options' is only allowed with 'stream': true.", param="stream_options")
    return options.get("include_usage") is True


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    """Under whichever name: two limits that differ would be read as the caller likes by one and bill by the other."""
    found: int | None = None
    for name in TOKEN_LIMITS:
        value = body.get(name)
        if value is None:
            continue
        if not is_whole(value, 1, _MOST_TOKENS):
            raise InvalidRequest(f"'{name}' must be an integer from 1 to {_MOST_TOKENS}.", param=name)
        if found is not None and value != found:
            raise InvalidRequest("Two different limits of tokens are given; give one.", param=name)
        found = value
    return found


def _check_choices(body: Mapping[str, Any]) -> None:
    """How many answers are paid for must be beyond doubt: some upstreams would read "3" as 3."""
    for name in ("n", "best_of"):
        value = body.get(name)
        if value is not None and not is_whole(value, 1, _MOST_CHOICES):
            raise InvalidRequest(f"'{name}' must be an integer from 1 to {_MOST_CHOICES}.", param=name)


def _requires(endpoint: str, body: Mapping[str, Any]) -> frozenset[str]:
    """What a target must be able to do to answer this body."""
    if endpoint != CHAT:
        return _SEES if endpoint == MODERATIONS and sees_pictures(body["input"]) else _NOTHING
    needed = set()
    if body.get("tools"):
        needed.add("tools")
    format_ = body.get("response_format")
    if isinstance(format_, dict) and format_.get("type") == "json_schema":
        needed.add("json_schema")
    for message in body["messages"]:
        content = message.get("content")
        if isinstance(content, list) and any(
            isinstance(part, dict) and part.get("type") == "image_url" for part in content
        ):
            needed.add("vision")
    return frozenset(needed) if needed else _NOTHING


_NOTHING: frozenset[str] = frozenset()
_SEES = frozenset(("vision",))


def _preferences(value: Any, suffix_sort: str | None) -> Preferences:
    if value is None:
        return NO_PREFERENCES if suffix_sort is None else Preferences(sort=suffix_sort)
    if not isinstance(value, dict):
        raise InvalidRequest("'provider' must be an object.", param="provider")
    price = value.get("max_price") or {}
    if not isinstance(price, dict):
        raise InvalidRequest("'provider.max_price' must be an object.", param="provider.max_price")
    return Preferences(
        order=_names(value, "order"),
        only=frozenset(_names(value, "only")),
        ignore=frozenset(_names(value, "ignore")),
        allow_fallbacks=_choice(value, "allow_fallbacks", {True: True, False: False, None: True}),
        require_parameters=_choice(value, "require_parameters", {True: True, False: False, None: False}),
        sort=suffix_sort or _sort(value.get("sort")),
        max_input_nanos=_price_nanos(price, "prompt"),
        max_output_nanos=_price_nanos(price, "completion"),
        min_throughput=_positive(value, "preferred_min_throughput"),
        max_latency_s=_positive(value, "preferred_max_latency"),
        denies_collection=_denies_collection(value),
        quantizations=frozenset(_names(value, "quantizations")),
    )


def _denies_collection(value: Mapping[str, Any]) -> bool:
    """OpenRouter has two words for the same wish: `data_collection` and `zdr`, zero data retention."""
    denied = _choice(value, "data_collection", {"deny": True, "allow": False, None: False})
    return _choice(value, "zdr", {True: True, False: False, None: False}) or denied


def _choice(value: Mapping[str, Any], name: str, meanings: Mapping[str | bool | None, bool]) -> bool:
    chosen = value.get(name)
    if not isinstance(chosen, (str, bool, NoneType)) or chosen not in meanings:
        words = " or ".join(str(word).lower() for word in meanings if word is not None)
        raise InvalidRequest(f"'provider.{name}' must be {words}.", param=f"provider.{name}")
    return meanings[chosen]


def _names(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    names = value.get(name)
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise InvalidRequest(f"'provider.{name}' must be an array of strings.", param=f"provider.{name}")
    return tuple(names)


def _sort(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in _SORTS:
        raise InvalidRequest(
            "'provider.sort' must be one of 'price', 'throughput', 'latency'.", param="provider.sort"
        )
    return _SORTS[value]


def _price_nanos(price: Mapping[str, Any], name: str) -> int | None:
    """USD per million tokens, as a number or a numeric string, to nano-USD per million."""
    value = price.get(name)
    if value is None:
        return None
    try:
        dollars = float(value)
    except (TypeError, ValueError):
        dollars = -1.0
    if not 0 <= dollars < 1e6:
        raise InvalidRequest(
            f"'provider.max_price.{name}' must be USD per million tokens.", param=f"provider.max_price.{name}"
        )
    return round(dollars * 1_000_000_000)


def _positive(value: Mapping[str, Any], name: str) -> float | None:
    number = value.get(name)
    if number is None:
        return None
    if not is_number(number) or number <= 0:
        raise InvalidRequest(f"'provider.{name}' must be a positive number.", param=f"provider.{name}")
    return float(number)
