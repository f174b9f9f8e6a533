"""What `status` and `doctor` print for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_MARKS = {"ok": "ok  ", "warn": "note", "fail": "FAIL"}
_CAPABILITIES = {"tools": "tools", "json_schema": "JSON schema", "vision": "vision", "embeddings": "embeddings"}


def status(said: Mapping[str, Any]) -> str:
    state, server = said["state"], said["local_server"]
    lines = [f"{said['name']} ({said['node']}) for {said['organization']}, shareai-node {said['version']}"]
    if said["connected"]:
        lines.append(f"Connected to {said['console']} since {said['connected_since']}.")
    else:
        lines.append(f"Not connected to {said['console']}. {said['last_words']}".rstrip())
    lines.append("Takes requests." if state["accepting"] else f"Takes no requests: {state['detail']}")
    lines.append(f"In flight: {said['in_flight']} of {said['max_concurrent']}.")
    if server["error"]:
        lines.append(server["error"])
    lines += [_model(model, said["offered"]) for model in said["models"]]
    return "\n".join(lines)


def _model(model: Mapping[str, Any], offered: Iterable[str]) -> str:
    words = [model["runtime"]]
    if model["context"]:
        words.append(f"{model['context']} tokens of context")
    words += [name for key, name in _CAPABILITIES.items() if model["capabilities"][key]]
    if (speed := model["measured"]["tokens_per_s"]) is not None:
        words.append(f"{speed:g} tokens/s")
    if model["id"] not in set(offered):
        words.append("not ticked in the console")
    return f"  {model['id']}: {', '.join(words)}"


def findings(found: Iterable[Mapping[str, Any]]) -> str:
    return "\n".join(f"{_MARKS[one['result']]}  {one['about']}: {one['said']}" for one in found)
