"""vLLM. Source: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"""

from __future__ import annotations

from shareai_node.runtimes.shapes import Asker, Listed, Recognised, listed_from, object_in

NAME = "vllm"
PORT = 8000
QUEUE = "vllm:num_requests_waiting"


async def recognise(ask: Asker, listed: Listed) -> Recognised | None:
    version = object_in(await ask("/version")).get("version")
    if not isinstance(version, str) or not all(entry.get("owned_by") == "vllm" for entry in listed):
        return None
    models = [
        listed_from(entry, entry.get("max_model_len"), f"{entry.get('root', '')} {version}") for entry in listed
    ]
    return Recognised(NAME, version, tuple(models))
