"""SGLang. Source: https://docs.sglang.ai/basic_usage/native_api.html"""

from __future__ import annotations

from shareai_node.runtimes.shapes import Asker, Listed, Recognised, listed_from, object_in

NAME = "sglang"
PORT = 30000
QUEUE = "sglang:num_queue_reqs"


async def recognise(ask: Asker, listed: Listed) -> Recognised | None:
    about = object_in(await ask("/get_model_info"))
    if not isinstance(about.get("model_path"), str) or "is_generation" not in about:
        return None
    models = [listed_from(entry, entry.get("max_model_len"), about["model_path"]) for entry in listed]
    return Recognised(NAME, None, tuple(models))
