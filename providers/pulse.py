"""Asks one connection whether it lives, as cheaply as it can be told: the list of models first, which costs nothing,
and a single token only where the list says nothing useful or where a model itself is in doubt.

Knows no rows: a question goes in, what was heard comes out, so that many may be asked at a time in threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from common.refusal import ShareAIError
from providers import diagnosis
from providers.conversation import Conversation, Found, Line
from providers.diagnosis import Failure
from providers.guard import guarded_client
from providers.probe import Patience

MODELS, TOKEN = "models", "token"

_KEY_TROUBLE = ("key_refused", "key_missing")
_ALIVE = ("limited", "rejected", "not_found")
"""Who answers so to a question for a token lives, though it serves this one not now."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One model of the connection: the vendor's name of it, and its kind."""

    upstream_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class Question:
    """Where and with what to ask. `doubted` models are each asked for a token; `others` only if there is no list."""

    line: Line
    patience: Patience
    doubted: tuple[Asked, ...] = ()
    others: tuple[Asked, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """`code` and `detail` say what is wrong, as `providers.diagnosis` does; `spoke` are the models that answered."""

    alive: bool
    proof: str = MODELS
    code: str = ""
    detail: str = ""
    latency_ms: int | None = None
    spoke: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Round:
    """What one round of asking has found so far."""

    found: Found = field(default_factory=Found)
    proof: str = MODELS
    spoke: set[str] = field(default_factory=set)

    def heard(self, alive: bool, failure: Failure | None = None) -> Heard:
        code, detail = (failure.code, failure.message) if failure else ("", "")
        return Heard(alive, self.proof, code, detail[:400], self.found.latency_ms, frozenset(self.spoke))


def ask(question: Question) -> Heard:
    """Never raises for what is wrong at the other end."""
    round_, patience = _Round(), question.patience
    try:
        with guarded_client(connect_s=patience.connect_s, read_s=patience.read_s) as client:
            conversation = Conversation(client, question.line, round_.found, patience.whole_s)
            return _listen(conversation, question, round_)
    except httpx.HTTPError as error:
        return round_.heard(False, diagnosis.of_exception(error, question.line.host))
    except ShareAIError as refused:
        return round_.heard(False, Failure(refused.code, refused.message))


def _listen(conversation: Conversation, question: Question, round_: _Round) -> Heard:
    listed = _list(conversation, round_)
    if listed is not None and listed.code in _KEY_TROUBLE:
        return round_.heard(True, listed)
    is_useful = listed is None or listed.code == "limited"
    asked = question.doubted if is_useful else (question.doubted or question.others[:1])
    if not asked:
        # Without a list, and with nothing that may be asked, whoever answers at all lives.
        return round_.heard(is_useful or (listed is not None and listed.code == "no_models"), listed)
    failures = [failure for model in asked if (failure := _speak(conversation, model, round_)) is not None]
    if is_useful or round_.spoke:
        return round_.heard(True, failures[0] if failures else None)
    return round_.heard(failures[0].code in (*_ALIVE, *_KEY_TROUBLE), failures[0])


def _list(conversation: Conversation, round_: _Round) -> Failure | None:
    """Why the list says nothing useful, or None when it says what it should."""
    try:
        conversation.list_models()
    except Failure as failure:
        return failure
    return None if "list" in round_.found.capabilities else Failure("no_models", "")


def _speak(conversation: Conversation, model: Asked, round_: _Round) -> Failure | None:
    round_.proof = TOKEN
    try:
        conversation.speak(model.upstream_id, model.kind)
    except Failure as failure:
        return failure
    except httpx.HTTPError as error:
        return diagnosis.of_exception(error, conversation.host)
    round_.spoke.add(model.upstream_id)
    return None
