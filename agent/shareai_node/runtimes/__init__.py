"""The model servers that are known, each told from the others by what only it answers.

A runtime's module says how it is recognised and what it tells of its models; everything OpenAI-compatible that is
none of them is `openai`. What a model can do is not asked here: `shareai_node.probing` tries it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import ModuleType

from shareai_node.runtimes import llamacpp, lmstudio, ollama, sglang, vllm
from shareai_node.runtimes.shapes import Asker, Listed, Recognised, listed_from

OPENAI = "openai"
_KNOWN: tuple[ModuleType, ...] = (ollama, lmstudio, vllm, sglang, llamacpp)

USUAL_PORTS: Mapping[int, str] = {module.PORT: module.NAME for module in _KNOWN}
QUEUE_METRICS: Mapping[str, str] = {module.NAME: module.QUEUE for module in _KNOWN if module.QUEUE}
"""The Prometheus metric, at `/metrics`, of requests that wait in a runtime's own queue."""


async def recognise(ask: Asker, listed: Listed) -> Recognised:
    """Which runtime it is, and its models.

    Args:
        ask: GETs a path and returns its JSON; None if there is none.
        listed: what `/v1/models` said.
    """
    found = await asyncio.gather(*(module.recognise(ask, listed) for module in _KNOWN))
    known = next((one for one in found if one is not None), None)
    return known or Recognised(OPENAI, None, tuple(listed_from(entry) for entry in listed))
