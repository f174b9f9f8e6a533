"""Ollama. Source: https://github.com/ollama/ollama/blob/main/docs/api.md

A model's own context length says little here: requests run with what the server was told to give them, which is
known once the model is loaded (`/api/ps`).
"""

from __future__ import annotations

import asyncio

from shareai_node.runtimes.shapes import Asker, Listed, LocalModel, Recognised, entries_in, object_in, whole

NAME = "ollama"
PORT = 11434
QUEUE = None


async def recognise(ask: Asker, listed: Listed) -> Recognised | None:
    version, tags, loaded = await asyncio.gather(ask("/api/version"), ask("/api/tags"), ask("/api/ps"))
    if not isinstance(object_in(version).get("version"), str) or "models" not in object_in(tags):
        return None
    contexts = {entry.get("name"): whole(entry.get("context_length")) for entry in entries_in(loaded, "models")}
    models = [
        LocalModel(entry["name"], contexts.get(entry["name"]), str(entry.get("digest", "")))
        for entry in entries_in(tags, "models")
        # Models of its maker's cloud are listed beside those of this machine.
        if isinstance(entry.get("name"), str) and not entry.get("remote_host")
    ]
    return Recognised(NAME, object_in(version)["version"], tuple(models))
