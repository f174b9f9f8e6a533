"""What a caller of `/v1/messages` asks, as the body of a chat.

Source: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from common.errors import InvalidRequest, UnsupportedParameter
from common.numbers import is_whole
from common.wishes import list_of, object_of

_NOT_FOR_CHATS = frozenset(
    {
        *("cache_control", "container", "context_management", "diagnostics", "inference_geo", "mcp_servers"),
        *("max_completion_tokens", "max_tokens", "messages", "metadata", "n", "output_config", "prefill"),
        *("service_tier", "speed", "stop", "stop_sequences", "stream_options", "system", "thinking", "tool_choice"),
        *("tools", "user_profile_id", "workspace_id"),
    }
)
"""Fields that are said otherwise in a chat, or not at all; every other field passes as it is."""

_VENDORS_OWN = {
    "container": "Containers run at Anthropic, and no one of the targets is sure to be asked here: leave it out.",
    "context_management": "The conversation is not edited here: send what the model is to read.",
    "inference_geo": "Where a model runs is chosen by routes here, and by 'provider.only': leave it out.",
    "mcp_servers": "MCP servers are called by Anthropic, and no one of the targets is sure to be asked here: "
    "call them yourself and offer their tools.",
    "prefill": "Not every target can go on with a beginning: leave it out.",
}
_EFFORTS = ((4096, "low"), (16384, "medium"))
"""Of thinking, by its budget of tokens; a chat knows words alone. Beyond them all: high."""
_MOST_TOKENS = 10_000_000
_TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}

Message = dict[str, Any]
Part = dict[str, Any]


def chat_of(wish: Mapping[str, Any]) -> dict[str, Any]:
    """
    Raises:
        InvalidRequest: with `param` naming the field.
        UnsupportedParameter: it asks for what only Anthropic's own servers do.
    """
    for name, why in _VENDORS_OWN.items():
        if wish.get(name) is not None:
            raise UnsupportedParameter(why, param=name)
    chat = {name: value for name, value in wish.items() if name not in _NOT_FOR_CHATS}
    chat["max_tokens"] = _most_tokens(wish)
    chat["messages"] = _messages(wish)
    if wish.get("stream") is True:
        chat["stream_options"] = {"include_usage": True}
    if stops := list_of(wish.get("stop_sequences"), "stop_sequences"):
        chat["stop"] = stops
    if (user := object_of(wish, "metadata").get("user_id")) is not None:
        chat["user"] = user
    _say_tools(wish, chat)
    _say_thinking(wish, chat)
    _say_output(wish, chat)
    return chat


def counted_chat_of(wish: Mapping[str, Any]) -> dict[str, Any]:
    """As `chat_of`, for a question that is counted and not asked, so that it needs no limit."""
    return chat_of({**wish, "max_tokens": 1, "stream": False})


# Options


def _most_tokens(wish: Mapping[str, Any]) -> int:
    most = wish.get("max_tokens")
    if most is None:
        raise InvalidRequest("Missing required parameter: 'max_tokens'.", param="max_tokens")
    if not is_whole(most, 1, _MOST_TOKENS):
        raise InvalidRequest(f"'max_tokens' must be an integer from 1 to {_MOST_TOKENS}.", param="max_tokens")
    return int(most)


def _say_tools(wish: Mapping[str, Any], chat: dict[str, Any]) -> None:
    tools = list_of(wish.get("tools"), "tools")
    if not tools:
        return
    chat["tools"] = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    choice = object_of(wish, "tool_choice")
    if not choice:
        return
    if choice.get("disable_parallel_tool_use") is True:
        chat["parallel_tool_calls"] = False
    kind = choice.get("type")
    if kind == "tool" and isinstance(choice.get("name"), str):
        chat["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif isinstance(kind, str) and kind in _TOOL_CHOICES:
        chat["tool_choice"] = _TOOL_CHOICES[kind]
    else:
        raise InvalidRequest("'tool_choice' must be auto, any, none, or a tool with its name.", param="tool_choice")


def _tool(tool: Any, name: str) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise InvalidRequest(f"'{name}' must be an object.", param=name)
    kind = tool.get("type") or "custom"
    if kind != "custom":
        raise UnsupportedParameter(
            f"Tools of the type '{kind}' are Anthropic's own, and no one of the targets is sure to know them: offer "
            "a tool with a name and an input_schema.",
            param=name,
        )
    if not isinstance(tool.get("name"), str) or not isinstance(tool.get("input_schema"), dict):
        raise InvalidRequest(f"'{name}' must have a 'name' and an 'input_schema'.", param=name)
    said = {key: tool[key] for key in ("name", "description", "strict") if tool.get(key) is not None}
    return {"type": "function", "function": {**said, "parameters": tool["input_schema"]}}


def _say_thinking(wish: Mapping[str, Any], chat: dict[str, Any]) -> None:
    thinking = object_of(wish, "thinking")
    if thinking.get("type") != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if not is_whole(budget, 1, _MOST_TOKENS):
        raise InvalidRequest("'thinking.budget_tokens' must be a positive integer.", param="thinking.budget_tokens")
    chat["reasoning_effort"] = next((word for most, word in _EFFORTS if budget <= most), "high")


def _say_output(wish: Mapping[str, Any], chat: dict[str, Any]) -> None:
    output = object_of(wish, "output_config")
    if output.get("effort") is not None:
        chat["reasoning_effort"] = output["effort"]
    wanted = output.get("format")
    if wanted is None:
        return
    if (
        not isinstance(wanted, dict)
        or wanted.get("type") != "json_schema"
        or not isinstance(wanted.get("schema"), dict)
    ):
        raise InvalidRequest("'output_config.format' must be a json_schema.", param="output_config.format")
    schema = {"name": "answer", "schema": wanted["schema"], "strict": True}
    chat["response_format"] = {"type": "json_schema", "json_schema": schema}


# Messages


def _messages(wish: Mapping[str, Any]) -> list[Message]:
    messages: list[Message] = []
    system = wish.get("system")
    if system is not None:
        messages.append({"role": "system", "content": _text_of(system, "system")})
    said = wish.get("messages")
    if said is None:
        raise InvalidRequest("Missing required parameter: 'messages'.", param="messages")
    if not isinstance(said, list) or not said:
        raise InvalidRequest("'messages' must be a non-empty array of messages.", param="messages")
    for index, message in enumerate(said):
        name = f"messages[{index}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role == "user":
            messages += _of_user(message.get("content"), f"{name}.content")
        elif role == "assistant":
            messages.append(_of_assistant(message.get("content"), f"{name}.content"))
        elif role == "system":
            messages.append({"role": role, "content": _text_of(message.get("content"), f"{name}.content")})
        else:
            raise InvalidRequest(f"'{name}' must have the role user or assistant.", param=f"{name}.role")
    return messages


def _text_of(said: Any, name: str) -> str:
    """Texts alone."""
    if isinstance(said, str):
        return said
    blocks = _blocks(said, name)
    if any(block.get("type") != "text" or not isinstance(block.get("text"), str) for block in blocks):
        raise InvalidRequest(f"'{name}' must be a string or an array of texts.", param=name)
    return "\n\n".join(block["text"] for block in blocks)


def _blocks(said: Any, name: str) -> list[dict[str, Any]]:
    if isinstance(said, str):
        return [{"type": "text", "text": said}]
    if not isinstance(said, list) or not all(isinstance(block, dict) for block in said):
        raise InvalidRequest(f"'{name}' must be a string or an array of blocks.", param=name)
    return said


def _of_user(said: Any, name: str) -> list[Message]:
    """Results of tools are messages of their own, which come first: a chat wants them right after the calls."""
    results: list[Message] = []
    parts: list[Part] = []
    for index, block in enumerate(_blocks(said, name)):
        at = f"{name}[{index}]"
        if block.get("type") == "tool_result":
            texts, pictures = _result(block, at)
            results.append({"role": "tool", "tool_call_id": block["tool_use_id"], "content": texts})
            parts += pictures
        else:
            parts.append(_part(block, at))
    if not parts and results:
        return results
    return [*results, {"role": "user", "content": _content(parts)}]


def _result(block: Mapping[str, Any], name: str) -> tuple[str, list[Part]]:
    """Its text, and what a chat takes from users only."""
    if not isinstance(block.get("tool_use_id"), str):
        raise InvalidRequest(f"'{name}' must have a 'tool_use_id'.", param=f"{name}.tool_use_id")
    said = block.get("content")
    blocks = [] if said is None else _blocks(said, f"{name}.content")
    parts = [_part(one, f"{name}.content[{index}]") for index, one in enumerate(blocks)]
    text = "\n\n".join(part["text"] for part in parts if part["type"] == "text")
    return text, [part for part in parts if part["type"] != "text"]


def _of_assistant(said: Any, name: str) -> Message:
    """Thoughts of an earlier turn are left out: no chat takes them back."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for index, block in enumerate(_blocks(said, name)):
        at = f"{name}[{index}]"
        kind = block.get("type")
        if kind == "text" and isinstance(block.get("text"), str):
            texts.append(block["text"])
        elif kind == "tool_use":
            calls.append(_call(block, at))
        elif kind not in ("thinking", "redacted_thinking"):
            raise UnsupportedParameter(f"Blocks of the type '{kind}' cannot be told to every model.", param=at)
    message: Message = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    return message | ({"tool_calls": calls} if calls else {})


def _call(block: Mapping[str, Any], name: str) -> dict[str, Any]:
    call_id, called = block.get("id"), block.get("name")
    if not isinstance(call_id, str) or not isinstance(called, str):
        raise InvalidRequest(f"'{name}' must have an 'id' and a 'name'.", param=name)
    arguments = orjson.dumps(block.get("input") or {}).decode()
    return {"id": call_id, "type": "function", "function": {"name": called, "arguments": arguments}}


def _content(parts: list[Part]) -> str | list[Part]:
    """One text alone is told as a string, which every model understands."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _part(block: Mapping[str, Any], name: str) -> Part:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    source = block.get("source")
    if kind == "image" and isinstance(source, dict) and (url := _url_of(source)):
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "document" and isinstance(source, dict):
        if source.get("type") == "text" and isinstance(source.get("data"), str):
            return {"type": "text", "text": source["data"]}
        if source.get("type") == "base64" and (url := _url_of(source)):
            file = {"filename": str(block.get("title") or "document.pdf"), "file_data": url}
            return {"type": "file", "file": file}
    raise UnsupportedParameter(
        "Blocks must be texts, images or documents with their data, images by their URL, or results of tools.",
        param=name,
    )


def _url_of(source: Mapping[str, Any]) -> str:
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        return str(source["url"])
    if source.get("type") == "base64" and isinstance(source.get("data"), str):
        return f"data:{source.get('media_type')};base64,{source['data']}"
    return ""
