"""Which tools a simulated chat calls, and with what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from demo.answers.schemas import example
from demo.answers.shapes import Refused


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: str


def calls(body: Mapping[str, Any], prompt: str) -> tuple[ToolCall, ...]:
    """Decide as a willing model would: call what is forced, else what is mentioned, else the first tool.

    A conversation that ends in a tool's result is answered in words, so that an agent's loop ends.
    """
    offered = _offered(body)
    choice = body.get("tool_choice", "auto")
    if not offered or choice == "none":
        return ()
    if isinstance(choice, dict):
        return (_call(offered, _forced_name(choice)),)
    answered = body["messages"][-1].get("role") in ("tool", "function")
    if choice == "auto" and answered:
        return ()
    mentioned = [name for name in offered if name in prompt] or list(offered)[:1]
    if body.get("parallel_tool_calls") is False:
        mentioned = mentioned[:1]
    return tuple(_call(offered, name) for name in mentioned)


def _offered(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise Refused("'tools' must be a list.", param="tools")
    functions: list[Any] = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    if len(functions) != len(tools) or not all(isinstance(f, dict) and f.get("name") for f in functions):
        raise Refused("each tool needs a function with a name.", param="tools")
    return {function["name"]: function for function in functions}


def _forced_name(choice: Mapping[str, Any]) -> str:
    function = choice.get("function")
    return str(function.get("name")) if isinstance(function, dict) else ""


def _call(offered: Mapping[str, Mapping[str, Any]], name: str) -> ToolCall:
    if name not in offered:
        raise Refused(f"Tool choice '{name}' not found in 'tools' parameter.", param="tool_choice")
    parameters = offered[name].get("parameters") or {"type": "object"}
    return ToolCall(name, orjson.dumps(example(parameters)).decode())
