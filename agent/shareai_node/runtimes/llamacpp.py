"""llama.cpp's server. Source: https://github.com/ggml-org/llama.cpp/tree/master/tools/server"""

from __future__ import annotations

from shareai_node.runtimes.shapes import Asker, Listed, Recognised, listed_from, object_in

NAME = "llamacpp"
PORT = 8080
QUEUE = "llamacpp:requests_deferred"


async def recognise(ask: Asker, listed: Listed) -> Recognised | None:
    props = object_in(await ask("/props"))
    if "default_generation_settings" not in props:
        return None
    context = object_in(props, "default_generation_settings").get("n_ctx")  # of one slot, hence of one request
    version = props.get("build_info")
    weights = f"{props.get('model_path', '')} {version} {context}"
    return Recognised(
        NAME,
        version if isinstance(version, str) else None,
        tuple(listed_from(entry, context, weights) for entry in listed),
    )
