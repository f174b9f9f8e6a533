"""Right answers in OpenAI's shapes, made from the request alone: no network, no clock but the stamp.

The one source of a well-formed answer, for the simulated providers and for the tests' fault server.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from demo.answers.chat import chat
from demo.answers.completions import completions
from demo.answers.embeddings import embeddings
from demo.answers.images import images
from demo.answers.moderations import moderations
from demo.answers.rerank import rerank
from demo.answers.shapes import Event, Refused, Reply, Stamp, Voice, model_of, unknown_model, wrong_key

__all__ = [
    "ENDPOINTS",
    "Event",
    "Refused",
    "Reply",
    "Stamp",
    "Voice",
    "answer",
    "model_list",
    "model_of",
    "one_model",
    "parse",
    "unknown_model",
    "wrong_key",
]

ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/rerank",
    "/v1/images/generations",
)


def parse(raw: bytes) -> dict[str, Any]:
    """Read a request's body.

    Raises:
        Refused: it is not a JSON object.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused("We could not parse the JSON body of your request.") from error
    if not isinstance(body, dict):
        raise Refused("The JSON body of your request must be an object.")
    return body


def answer(path: str, body: Mapping[str, Any], voice: Voice, stamp: Stamp | None = None) -> Reply:
    """Answer a request to one of `ENDPOINTS`.

    Raises:
        Refused: the path is unknown, or the request breaks a rule that OpenAI's API has too.
    """
    stamp = stamp or Stamp()
    match path:
        case "/v1/chat/completions":
            return chat(body, voice, stamp)
        case "/v1/completions":
            return completions(body, voice, stamp)
        case "/v1/embeddings":
            return embeddings(body)
        case "/v1/moderations":
            return moderations(body, stamp)
        case "/v1/images/generations":
            return images(body, stamp)
        case "/v1/rerank":
            return rerank(body)
    raise Refused(f"Invalid URL (POST {path})", status=404)


def model_list(models: Sequence[str], voice: Voice) -> dict[str, Any]:
    return {"object": "list", "data": [one_model(model, voice) for model in models]}


def one_model(model: str, voice: Voice) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 1_767_225_600, "owned_by": voice.name.lower()}
