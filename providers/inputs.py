"""What the bodies of endpoints without a chat must hold: checked before anything is sent. Pure.

Each check raises `InvalidRequest` with `param` naming the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InvalidRequest, UnsupportedParameter

_MODERATED = "a string, an array of strings, or an array of parts of the types 'text' and 'image_url'"


def check_moderated(body: Mapping[str, Any]) -> None:
    """Source: https://platform.openai.com/docs/api-reference/moderations/create"""
    refuse_stream(body)
    given = body.get("input")
    if given is None:
        raise InvalidRequest("Missing required parameter: 'input'.", param="input")
    if isinstance(given, str) and given:
        return
    if not isinstance(given, list) or not given:
        raise InvalidRequest(f"'input' must be {_MODERATED}, and not empty.", param="input")
    are_texts = isinstance(given[0], str)
    for index, item in enumerate(given):
        if not (isinstance(item, str) and item if are_texts else _is_part(item)):
            raise InvalidRequest(f"'input' must be {_MODERATED}, and none empty.", param=f"input[{index}]")


def sees_pictures(given: Any) -> bool:
    """Args: given: an `input` that `check_moderated` has found right."""
    return isinstance(given, list) and any(isinstance(item, dict) and item["type"] == "image_url" for item in given)


def results_wanted(given: Any) -> int:
    """How many results an `input` has: one for each text; parts are judged together."""
    return len(given) if isinstance(given, list) and isinstance(given[0], str) else 1


def refuse_stream(body: Mapping[str, Any]) -> None:
    """Whoever asks for a stream would wait for events that never come."""
    if body.get("stream") not in (None, False):
        raise UnsupportedParameter("'stream' is not supported here: answers come whole.", param="stream")


def _is_part(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    if item.get("type") == "text":
        return isinstance(item.get("text"), str) and bool(item["text"])
    picture = item.get("image_url")
    if item.get("type") != "image_url" or not isinstance(picture, dict):
        return False
    return isinstance(picture.get("url"), str) and bool(picture["url"])
