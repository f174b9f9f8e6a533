"""The endpoints that upstreams serve, by the paths below their base URLs, and what is known of each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHAT, COMPLETIONS, EMBEDDINGS = "chat/completions", "completions", "embeddings"
MODERATIONS, RERANK, IMAGES = "moderations", "rerank", "images/generations"

KIND_OF_ENDPOINT = {
    CHAT: "chat",
    COMPLETIONS: "chat",
    EMBEDDINGS: "embedding",
    MODERATIONS: "moderation",
    RERANK: "rerank",
    IMAGES: "image",
}
"""What kind of model answers there."""

KINDS = tuple(dict.fromkeys(KIND_OF_ENDPOINT.values()))
ENDPOINT_OF_KIND = {kind: endpoint for endpoint, kind in KIND_OF_ENDPOINT.items() if endpoint != COMPLETIONS}

STREAMED = frozenset((CHAT, COMPLETIONS))
WRITES = frozenset((CHAT, COMPLETIONS))
"""What they answer is written by the model, token by token, and `max_tokens` says how many. Others use none."""

TELLS_USAGE = frozenset((CHAT, COMPLETIONS, EMBEDDINGS))
"""Their answers have a `usage` in OpenAI's API: where an upstream tells none, the gateway puts in what it counted."""

KEPT_WHOLE = frozenset((EMBEDDINGS, MODERATIONS, RERANK))
"""Answered alike each time, without a word on how an answer ended: a cache may keep them."""

USUAL_MODELS = {MODERATIONS: "omni-moderation-latest"}
"""Which model is meant where the request names none, as in OpenAI's API."""

NEVER_SHARED = frozenset((IMAGES,))
"""Asked again, they answer something else, which is why they are asked: no cache looks at them."""

COSTLY_KINDS = frozenset(("image",))
"""What nobody asks for only to see whether it works."""

PICTURE_TOKENS = 1_000
"""What a picture counts whose upstream tells no tokens. So it costs a thousandth of what a million of them do."""

_PROMPTS = {COMPLETIONS: "prompt", EMBEDDINGS: "input", MODERATIONS: "input", RERANK: "documents"}


def prompts_in(endpoint: str, body: Mapping[str, Any]) -> int:
    """How many prompts a body holds, each of which the model reads by itself. A list of numbers is one, in tokens."""
    name = _PROMPTS.get(endpoint)
    prompt = body.get(name) if name is not None else None
    return max(1, sum(not isinstance(one, int) for one in prompt)) if isinstance(prompt, list) else 1


def made_up(endpoint: str, text: str = "…") -> dict[str, Any]:
    """What a body needs beside its model to be one of this endpoint."""
    if endpoint == CHAT:
        return {"messages": [{"role": "user", "content": text}]}
    if endpoint == RERANK:
        return {"query": text, "documents": [text]}
    if endpoint == IMAGES:
        return {"prompt": text}
    return {_PROMPTS[endpoint]: text}
