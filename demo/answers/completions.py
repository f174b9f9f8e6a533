"""`POST /v1/completions`, answered."""

from collections.abc import Iterator, Mapping
from typing import Any

from demo.answers.shapes import (
    Event,
    Refused,
    Reply,
    Stamp,
    Voice,
    model_of,
    stops,
    usage,
    wants_stream_usage,
    whole_number,
)
from demo.answers.tokens import count, pieces
from demo.answers.wording import cut, magic, plain_answer

_USUAL_TOKENS = 16  # OpenAI's default for this endpoint


def completions(body: Mapping[str, Any], voice: Voice, stamp: Stamp) -> Reply:
    """Answer a text completion: `n` choices for each prompt.

    Raises:
        Refused: the request breaks a rule that OpenAI's API has too.
    """
    model = model_of(body)
    prompts = prompts_of(body.get("prompt"), "prompt")
    copies = whole_number(body, "n", least=1, most=128) or 1
    most = whole_number(body, "max_tokens", least=1, most=1_000_000) or _USUAL_TOKENS
    choices: list[tuple[tuple[str, ...], str]] = []
    for text, _ in (prompt for prompt in prompts for _ in range(copies)):
        choices.append(_choice(body, voice, text, len(choices), most))
    completion_tokens = sum(len(said) for said, _ in choices)
    counted = usage(sum(tokens for _, tokens in prompts), completion_tokens)
    shared = {"id": f"cmpl-{stamp.id}", "object": "text_completion", "created": stamp.created_s}
    shared |= {"model": model, "system_fingerprint": voice.fingerprint}
    whole = [_part(index, "".join(said), finish) for index, (said, finish) in enumerate(choices)]
    events = tuple(_events(shared, choices, counted if wants_stream_usage(body) else None))
    return Reply(shared | {"choices": whole, "usage": counted}, events, completion_tokens)


def prompts_of(given: object, param: str) -> list[tuple[str, int]]:
    """Read the four forms of an input.

    Returns:
        for each input its text (token ids are shown as numbers) and its length in tokens.
    """
    if isinstance(given, str) and given:
        return [(given, count(given))]
    if isinstance(given, list) and given:
        if all(isinstance(item, int) for item in given):
            return [_from_ids(given)]
        if all(isinstance(item, str) and item for item in given):
            return [(item, count(item)) for item in given]
        if all(isinstance(item, list) and item and all(isinstance(n, int) for n in item) for item in given):
            return [_from_ids(item) for item in given]
    raise Refused(f"'{param}' must be a text, a list of texts, or one or more lists of token ids.", param=param)


def _from_ids(ids: list[int]) -> tuple[str, int]:
    return f"tokens {ids}", len(ids)


def _choice(body: Mapping[str, Any], voice: Voice, prompt: str, index: int, most: int) -> tuple[tuple[str, ...], str]:
    if "content_filter" in magic(prompt):
        return (), "content_filter"
    said, finish = cut(plain_answer(voice, prompt, index), stops(body), most)
    return ((*pieces(prompt), *said), finish) if body.get("echo") is True else (said, finish)


def _part(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def _events(
    shared: dict[str, Any], choices: list[tuple[tuple[str, ...], str]], counted: dict[str, Any] | None
) -> Iterator[Event]:
    rest = {} if counted is None else {"usage": None}
    for index, (said, finish) in enumerate(choices):
        for piece in said:
            yield Event(shared | {"choices": [_part(index, piece, None)]} | rest, 1)
        yield Event(shared | {"choices": [_part(index, "", finish)]} | rest)
    if counted is not None:
        yield Event(shared | {"choices": [], "usage": counted})
