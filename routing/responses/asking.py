"""What a caller of `/v1/responses` asks, as the body of a chat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from common.errors import InvalidRequest, UnsupportedParameter
from common.wishes import list_of, object_of

_NOT_FOR_CHATS = frozenset(
    {
        *("access_programs", "background_options", "context_management", "max_tool_calls"),
        *("background", "conversation", "include", "input", "instructions", "max_output_tokens", "messages"),
        *("max_completion_tokens", "max_tokens", "metadata", "n", "previous_response_id", "prompt", "reasoning"),
        *("response_format", "store", "stream_options", "text", "tool_choice", "tools", "top_logprobs", "truncation"),
    }
)
"""Fields that are said otherwise in a chat, or not at all; every other field passes as it is."""

_NEED_MEMORY = {
    "previous_response_id": "Responses are not stored here: send the whole conversation as 'input'.",
    "conversation": "Conversations are not stored here: send the whole conversation as 'input'.",
    "prompt": "Prompt templates are not stored here: send 'instructions' and 'input'.",
}
_LOGPROBS = "message.output_text.logprobs"
_MOST_OUTPUT_TOKENS = 10_000_000

Message = dict[str, Any]


def chat_of(wish: Mapping[str, Any]) -> dict[str, Any]:
    """
    Raises:
        InvalidRequest: with `param` naming the field.
        UnsupportedParameter: it asks for what only a server with a memory, or with tools of its own, can do.
    """
    _refuse_what_needs_memory(wish)
    chat = {name: value for name, value in wish.items() if name not in _NOT_FOR_CHATS}
    chat["messages"] = _messages(wish)
    if wish.get("stream") is True:
        chat["stream_options"] = {"include_usage": True}
    if wish.get("store") is False:
        chat["store"] = False  # a wish that is heard here too: nothing of it is kept in the logs
    for say in (_say_length, _say_tools, _say_format, _say_reasoning, _say_logprobs):
        say(wish, chat)
    return chat


def _refuse_what_needs_memory(wish: Mapping[str, Any]) -> None:
    for name, why in _NEED_MEMORY.items():
        if wish.get(name) is not None:
            raise UnsupportedParameter(why, param=name)
    if wish.get("background") is True:
        raise UnsupportedParameter("Answers in the background are not made here: leave it out.", param="background")


# Options


def _say_length(wish: Mapping[str, Any], chat: dict[str, Any]) -> None:
    most = wish.get("max_output_tokens")
    if most is None:
        return
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= _MOST_OUTPUT_TOKENS:
        raise InvalidRequest(
            f"'max_output_tokens' must be an integer from 1 to {_MOST_OUTPUT_TOKENS}.", param="max_output_tokens"
        )
    chat["max_completion_tokens"] = most


def _say_tools(wish: Mapping[str, Any], chat: dict[str, Any]) -> None:
    tools = list_of(wish.get("tools"), "tools")
    if tools:
        chat["tools"] = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    else:
        chat.pop("parallel_tool_calls", None)  # which a chat may say only of tools
    choice = wish.get("tool_choice")
    if not tools or choice is None:
        return
    if isinstance(choice, dict):
        if choice.get("type") != "function":
            raise UnsupportedParameter("A choice of tools must be a function.", param="tool_choice")
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    chat["tool_choice"] = choice


def _tool(tool: Any, name: str) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise InvalidRequest(f"'{name}' must be an object.", param=name)
    kind = tool.get("type")
    if kind != "function":
        raise UnsupportedParameter(
            f"Tools of the type '{kind}' run at a provider, and no one of them is sure to be asked here: "
            "offer a tool of the type 'function' and run it yourself.",
            param=name,
        )
    said = {key: tool[key] for key in ("name", "description", "parameters", "strict") if tool.get(key) is not None}
    return {"type": "function", "function": said}


def _say_format(wish: Mapping[str, Any], chat: dict[str, Any]) -> None:
    text = object_of(wish, "text")
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    wanted = text.get("format")
    if wanted is None:
        return
    if not isinstance(wanted, dict):
        raise InvalidRequest("'text.format' must be an object.", param="text.format")
    kind = wanted.get("type")
    if kind == "json_schema":
        said = {key: value for key, value in wanted.items() if key != "type" and value is not None}
        chat["response_format"] = {"type": kind, "json_schema": said}
    elif kind != "text":
        chat["response_format"] = {"type": kind}


def _say_reasoning(wish: Mapping[str, Any], chat: dict[str, Any]) -> None:
    effort = object_of(wish, "reasoning").get("effort")
    if effort is not None:
        chat["reasoning_effort"] = effort


def _say_logprobs(wish: Mapping[str, Any], chat: dict[str, Any]) -> None:
    top = wish.get("top_logprobs")
    if top is not None or _LOGPROBS in list_of(wish.get("include"), "include"):
        chat["logprobs"] = True
    if top is not None:
        chat["top_logprobs"] = top


# Messages


def _messages(wish: Mapping[str, Any]) -> list[Message]:
    said = wish.get("input")
    instructions = wish.get("instructions")
    messages: list[Message] = []
    if instructions is not None:
        if not isinstance(instructions, str):
            raise InvalidRequest("'instructions' must be a string.", param="instructions")
        messages.append({"role": "system", "content": instructions})
    if said is None:
        raise InvalidRequest("Missing required parameter: 'input'.", param="input")
    if isinstance(said, str):
        return [*messages, {"role": "user", "content": said}]
    if not isinstance(said, list) or not said:
        raise InvalidRequest("'input' must be a string or a non-empty array.", param="input")
    for index, item in enumerate(said):
        _add(messages, item, f"input[{index}]")
    return messages


def _add(messages: list[Message], item: Any, name: str) -> None:
    if not isinstance(item, dict):
        raise InvalidRequest(f"'{name}' must be an object.", param=name)
    kind = item.get("type") or "message"
    add = _ADD.get(kind) if isinstance(kind, str) else None
    if add is None:
        raise UnsupportedParameter(f"Items of the type '{kind}' cannot be told to every model.", param=name)
    add(messages, item, name)


def _add_message(messages: list[Message], item: Mapping[str, Any], name: str) -> None:
    role = item.get("role")
    if not isinstance(role, str):
        raise InvalidRequest(f"'{name}' must have a 'role'.", param=f"{name}.role")
    messages.append({"role": role, "content": _content(item.get("content"), f"{name}.content")})


def _add_call(messages: list[Message], item: Mapping[str, Any], name: str) -> None:
    """Calls belong to the assistant's message before them, several to the same."""
    call_id, called = item.get("call_id"), item.get("name")
    if not isinstance(call_id, str) or not isinstance(called, str):
        raise InvalidRequest(f"'{name}' must have a 'call_id' and a 'name'.", param=name)
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    function = {"name": called, "arguments": item.get("arguments") or "{}"}
    messages[-1].setdefault("tool_calls", []).append({"id": call_id, "type": "function", "function": function})


def _add_result(messages: list[Message], item: Mapping[str, Any], name: str) -> None:
    call_id = item.get("call_id")
    if not isinstance(call_id, str):
        raise InvalidRequest(f"'{name}' must have a 'call_id'.", param=f"{name}.call_id")
    content = _content(item.get("output"), f"{name}.output")
    messages.append({"role": "tool", "tool_call_id": call_id, "content": content})


def _add_nothing(messages: list[Message], item: Mapping[str, Any], name: str) -> None:
    """Reasoning of an earlier turn: no chat takes it back."""


_ADD: dict[str, Callable[[list[Message], Mapping[str, Any], str], None]] = {
    "message": _add_message,
    "function_call": _add_call,
    "function_call_output": _add_result,
    "reasoning": _add_nothing,
}


def _content(said: Any, name: str) -> str | list[dict[str, Any]]:
    """Text alone is told as a string, which every model understands."""
    if isinstance(said, str):
        return said
    if not isinstance(said, list):
        raise InvalidRequest(f"'{name}' must be a string or an array.", param=name)
    parts = [_part(part, f"{name}[{index}]") for index, part in enumerate(said)]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Any, name: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("input_text", "output_text", "text", "refusal"):
        text = part.get("refusal" if kind == "refusal" else "text")
        if not isinstance(text, str):
            raise InvalidRequest(f"'{name}' must have a text.", param=name)
        return {"type": "text", "text": text}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    if kind == "input_audio" and isinstance(part.get("input_audio"), dict):
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    if kind == "input_file" and isinstance(part.get("file_data"), str):
        named = {"filename": part["filename"]} if part.get("filename") else {}
        return {"type": "file", "file": {**named, "file_data": part["file_data"]}}
    raise UnsupportedParameter(
        "Parts must be texts, pictures by their URL, sounds, or files with their data.", param=name
    )
