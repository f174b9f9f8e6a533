"""LM Studio. Source: https://lmstudio.ai/docs/developer/rest/endpoints"""

from __future__ import annotations

from shareai_node.runtimes.shapes import Asker, Listed, LocalModel, Recognised, entries_in, whole

NAME = "lmstudio"
PORT = 1234
QUEUE = None


async def recognise(ask: Asker, listed: Listed) -> Recognised | None:
    entries = entries_in(await ask("/api/v0/models"), "data")
    if not any("type" in entry and "state" in entry for entry in entries):
        return None
    models = [
        LocalModel(
            entry["id"],
            whole(entry.get("loaded_context_length")) or whole(entry.get("max_context_length")),
            f"{entry.get('quantization', '')} {entry.get('arch', '')}",
        )
        for entry in entries
        if isinstance(entry.get("id"), str)
    ]
    return Recognised(NAME, None, tuple(models))
