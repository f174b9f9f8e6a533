"""What a simulated provider says, and the words in a prompt that make it behave in a wanted way.

[[tokens:500]]       the answer is 500 tokens long
[[cached:8]]         8 of the prompt's tokens are reported as cached
[[content_filter]]   the answer is withheld
"""

import re
from collections.abc import Sequence
from itertools import cycle, islice

from demo.answers.shapes import Voice
from demo.answers.tokens import pieces

_MAGIC = re.compile(r"\[\[(tokens|cached|content_filter)(?::(\d{1,6}))?\]\]")
_FILLER = (" and", " so", " on")
_LONGEST_ECHO = 2_000


def magic(prompt: str) -> dict[str, int]:
    return {name: int(number or 0) for name, number in _MAGIC.findall(prompt)}


def plain_answer(voice: Voice, prompt: str, index: int) -> list[str]:
    """The answer's tokens: who speaks, that it is simulated, and the prompt again."""
    echo = _MAGIC.sub("", prompt).strip()[:_LONGEST_ECHO]
    nth = f" Choice {index + 1}." if index else ""
    text = f"This is a simulated answer from {voice.name}.{nth} No model was asked. You said: {echo}"
    said = pieces(text)
    length = magic(prompt).get("tokens", len(said))
    return said[:length] + list(islice(cycle(_FILLER), max(0, length - len(said))))


def cut(said: Sequence[str], stops: Sequence[str], most: int | None) -> tuple[tuple[str, ...], str]:
    """End an answer where it has to end.

    Returns:
        the tokens that remain, and the finish reason, `stop` or `length`.
    """
    text = "".join(said)
    ends = [at for at in (text.find(word) for word in stops) if at >= 0]
    kept = pieces(text[: min(ends)]) if ends else list(said)
    if most is not None and len(kept) > most:
        return tuple(kept[:most]), "length"
    return tuple(kept), "stop"
