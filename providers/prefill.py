"""An answer that was begun, given back as the last message: what can go on with it, and how it is asked to.

A target says so by the capability `prefill`; one of which nobody has told what it is able to is taken at its route's
word. Most servers take a last message of the assistant for what it is; some want to be told. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from providers.schema import CHAT, TOKEN_LIMITS, Call
from providers.targets import Target

PREFILL = "prefill"
GOING_ON_UNASKED = frozenset({"ollama", "llamacpp"})
"""Runtimes of machines that go on with a last message of the assistant.

Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md, https://docs.ollama.com/api/chat
"""
GOING_ON_WHEN_TOLD = frozenset({"vllm", "sglang"})
TOLD = {"continue_final_message": True, "add_generation_prompt": False}
"""Source: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html, extra parameters of the chat API."""


def can_go_on(target: Target) -> bool:
    return PREFILL in target.capabilities or not target.capabilities


def may_be_continued(call: Call) -> bool:
    """Whether another target could go on in the middle of the answer: one text of which the form is free."""
    body = call.body
    form = body.get("response_format")
    return (
        call.endpoint == CHAT
        and call.stream
        and body.get("n") in (None, 1)
        and not body.get("logprobs")
        and (form is None or (isinstance(form, Mapping) and form.get("type") == "text"))
        and body.get("modalities") in (None, ["text"])
        and not body.get("audio")
        and body.get("tool_choice") in (None, "auto", "none")
    )


def continued(call: Call, said: str, said_tokens: int) -> Call | None:
    """The call for who goes on after `said`; None when it leaves no token to say, or cannot be put."""
    messages = list(call.body["messages"])
    last = messages[-1]
    begun = ""
    if last["role"] == "assistant":  # the caller itself began the answer
        if not isinstance(last.get("content"), str) or last.get("tool_calls"):
            return None
        begun = messages.pop()["content"]
    messages.append({"role": "assistant", "content": begun + said})
    body: dict[str, Any] = {**call.body, "messages": messages}
    left = None if call.max_tokens is None else call.max_tokens - said_tokens
    if left is not None:
        if left < 1:
            return None
        body |= {name: left for name in TOKEN_LIMITS if body.get(name) is not None}
    return msgspec.structs.replace(
        call,
        body=body,
        max_tokens=left,
        prompt_bytes=call.prompt_bytes + len(said.encode()),
        include_usage=False,
        continues=True,
    )


def how_to_go_on(runtime: str) -> Mapping[str, Any]:
    """What a body has to say besides, for the server behind a target."""
    return TOLD if runtime in GOING_ON_WHEN_TOLD else {}
