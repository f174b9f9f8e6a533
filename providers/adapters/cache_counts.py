"""What an upstream says of its own cache: in OpenAI's words, or in those of Anthropic, which many gateways pass on.

OpenAI counts what was read from the cache as a part of the prompt; Anthropic counts what was read and what was
written beside it. Gateways that translate say `prompt_tokens` with Anthropic's two fields next to it, some adding
them up and some not: the total tells, and so does a prompt that is smaller than its parts.
Source: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching
"""

from __future__ import annotations

from typing import NamedTuple


class ToldOfCache(NamedTuple):
    """`is_beside`: told in Anthropic's fields, which may not be counted in the prompt."""

    read: int
    written: int
    is_beside: bool

    def within(self, prompt: int, output: int, total: int | None) -> tuple[int, int, int]:
        """Returns: the prompt's tokens, all of them, and of these the read and the written ones."""
        read, written = max(self.read, 0), max(self.written, 0)
        if self.is_beside and read + written:
            is_total_of_all = total is not None and total == prompt + read + written + output
            if read + written > prompt or is_total_of_all:
                prompt += read + written
        return prompt, min(read, prompt), written
