"""What the bodies of endpoints without a chat must hold: checked before anything is sent. Pure.

Each check raises `InvalidRequest` with `param` naming the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InvalidRequest, UnsupportedParameter
from common.numbers import is_whole

MOST_RANKED = 1_000_000
MOST_PICTURES = 10
_LONGEST_WORD = 40
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


def check_reranked(body: Mapping[str, Any]) -> None:
    """Sources: https://jina.ai/reranker and https://docs.cohere.com/reference/rerank"""
    refuse_stream(body)
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not query:
        raise InvalidRequest("'query' must be a non-empty string.", param="query")
    if not isinstance(documents, list) or not documents:
        raise InvalidRequest("'documents' must be a non-empty array of strings or of {text}.", param="documents")
    for index, document in enumerate(documents):
        text = document.get("text") if isinstance(document, dict) else document
        if not isinstance(text, str) or not text:
            message = f"'documents[{index}]' must be a non-empty string, or an object with one as its 'text'."
            raise InvalidRequest(message, param=f"documents[{index}]")
    if body.get("top_n") is not None and not is_whole(body["top_n"], 1, MOST_RANKED):
        raise InvalidRequest(f"'top_n' must be an integer from 1 to {MOST_RANKED}.", param="top_n")
    if not isinstance(body.get("return_documents"), bool | None):
        raise InvalidRequest("'return_documents' must be true or false.", param="return_documents")


def repeated_bytes(body: Mapping[str, Any]) -> int:
    """A query is read with each of the documents, and stands in a body that `check_reranked` has found right once."""
    return len(body["query"].encode(errors="replace")) * (len(body["documents"]) - 1)


def check_picture(body: Mapping[str, Any]) -> None:
    """Source: https://platform.openai.com/docs/api-reference/images/create"""
    refuse_stream(body)
    if not isinstance(body.get("prompt"), str) or not body["prompt"]:
        raise InvalidRequest("'prompt' must be a non-empty string.", param="prompt")
    if body.get("n") is not None and not is_whole(body["n"], 1, MOST_PICTURES):
        raise InvalidRequest(f"'n' must be an integer from 1 to {MOST_PICTURES}.", param="n")
    for name in ("size", "quality"):
        value = body.get(name)
        if value is not None and not (isinstance(value, str) and 0 < len(value) <= _LONGEST_WORD):
            raise InvalidRequest(f"'{name}' must be a word, such as 'auto'.", param=name)
    if body.get("response_format") not in (None, "url", "b64_json"):
        raise InvalidRequest("'response_format' must be 'url' or 'b64_json'.", param="response_format")


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
