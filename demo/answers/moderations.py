"""`POST /v1/moderations`, answered: `[[flagged]]` in a text is what nobody should say."""

from collections.abc import Mapping
from hashlib import shake_256
from typing import Any

from demo.answers.shapes import Refused, Reply, Stamp, model_of

CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
FLAGGED = "[[flagged]]"
_PARTS = {"text": "text", "image_url": "image_url"}


def moderations(body: Mapping[str, Any], stamp: Stamp) -> Reply:
    """Judge each text of a request by itself, and parts together.

    Raises:
        Refused: the request breaks a rule that OpenAI's API has too.
    """
    model = model_of(body)
    return Reply({"id": f"modr-{stamp.id}", "model": model, "results": [*map(_judged, _inputs(body.get("input")))]})


def _inputs(given: object) -> list[tuple[str, set[str]]]:
    """Each with the kinds of its parts."""
    if isinstance(given, str) and given:
        return [(given, {"text"})]
    if isinstance(given, list) and given:
        if all(isinstance(item, str) and item for item in given):
            return [(item, {"text"}) for item in given]
        if all(isinstance(item, dict) and item.get("type") in _PARTS for item in given):
            words = " ".join(str(item.get("text", "")) for item in given)
            return [(words, {str(item["type"]).removesuffix("_url") for item in given})]
    raise Refused("'input' must be a text, a list of texts, or a list of parts.", param="input")


def _judged(given: tuple[str, set[str]]) -> dict[str, Any]:
    text, kinds = given
    low = shake_256(text.encode()).digest(len(CATEGORIES))
    scores = {name: byte / 100_000 for name, byte in zip(CATEGORIES, low, strict=True)}
    if FLAGGED in text:
        scores["harassment"] = 0.97
    found = {name: score > 0.5 for name, score in scores.items()}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": scores,
        "category_applied_input_types": {name: sorted(kinds) for name in CATEGORIES},
    }
