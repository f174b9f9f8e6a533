"""`POST /v1/embeddings`, answered: the same text gives the same unit vector."""

import base64
import struct
from collections.abc import Mapping
from hashlib import shake_256
from math import sqrt
from typing import Any

from demo.answers.completions import prompts_of
from demo.answers.shapes import Refused, Reply, model_of, whole_number

_USUAL_DIMENSIONS = 256
_MOST_DIMENSIONS = 4_096
_MOST_INPUTS = 2_048


def embeddings(body: Mapping[str, Any]) -> Reply:
    """Answer an embeddings request.

    Raises:
        Refused: the request breaks a rule that OpenAI's API has too.
    """
    model = model_of(body)
    inputs = prompts_of(body.get("input"), "input")
    if len(inputs) > _MOST_INPUTS:
        raise Refused(f"'input' has more than {_MOST_INPUTS} entries.", param="input")
    dimensions = whole_number(body, "dimensions", least=1, most=_MOST_DIMENSIONS) or _USUAL_DIMENSIONS
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise Refused("'encoding_format' is neither float nor base64.", param="encoding_format")
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector(text, dimensions), encoding)}
        for index, (text, _) in enumerate(inputs)
    ]
    tokens = sum(counted for _, counted in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Reply({"object": "list", "data": data, "model": model, "usage": usage})


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector drawn from the text's hash."""
    raw = shake_256(text.encode()).digest(2 * dimensions)
    values = [number + 0.5 for number in struct.unpack(f"<{dimensions}h", raw)]
    length = sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def _encoded(values: list[float], encoding: str) -> list[float] | str:
    if encoding == "float":
        return values
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
