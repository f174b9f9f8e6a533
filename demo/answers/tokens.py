"""The simulated tokeniser: a token is a short run of letters, a sign, or a space."""

import re

_PIECE = re.compile(r" ?\w{1,6}|\s|[^\w\s]")
_IMAGE_TOKENS = 85
_MESSAGE_OVERHEAD_TOKENS = 3


def pieces(text: str) -> list[str]:
    """Cut a text into tokens; joined again they are the text."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    return len(pieces(text))


def count_content(content: object) -> int:
    """Tokens of a message's content: a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return count(content)
    if isinstance(content, list):
        return sum(_count_part(part) for part in content)
    return 0


def count_message(content: object) -> int:
    return count_content(content) + _MESSAGE_OVERHEAD_TOKENS


def _count_part(part: object) -> int:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return count(part["text"])
    return _IMAGE_TOKENS
