"""Rules as sentences, and sentences as rules: `parsed(rendered(rule)) == rule` for every rule.

sentence  = ["when" condition {"and" condition}] "use" use {"then" ["on" causes] "fall back to" use}
condition = ("model" | "key" | "member" | "tag" | "data class") "is" texts
          | "header" text "is" texts
          | "prompt is" ("over" | "under") number "tokens"
          | "budget is over" number "percent"
          | "time is from" HH:MM "to" HH:MM
use       = strategy "of" leg {"," leg}        leg   = text ["weight" number] ["tier" number]
texts     = text {"or" text}                   causes = cause {"or" cause}
text      = a JSON string
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from routing.legs import RouteTarget
from routing.rules import (
    CAUSES,
    MINUTES_A_DAY,
    MOST_PERCENT,
    MOST_TOKENS,
    Fallback,
    Hours,
    Rule,
    RuleInvalid,
    Use,
    When,
    check,
)

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\d\d:\d\d|\d+|[a-z_]+|,)')
_LISTS = {"model": "models", "key": "keys", "member": "members", "tag": "tags", "data class": "data_classes"}
LONGEST_CHARACTERS = 20_000


def rendered(rule: Rule) -> str:
    """The one sentence of a rule."""
    conditions = _conditions(rule.when)
    head = f"when {' and '.join(conditions)} " if conditions else ""
    return f"{head}use {_use(rule.use)}" + "".join(map(_fallback, rule.fallbacks))


def parsed(sentence: str) -> Rule:
    """
    Raises:
        RuleInvalid: where the sentence stops being one, or why the rule makes no sense.
    """
    if len(sentence) > LONGEST_CHARACTERS:
        raise RuleInvalid(f"a rule has at most {LONGEST_CHARACTERS} characters")
    rule = _Reader(sentence).rule()
    check(rule)
    return rule


def _conditions(when: When) -> list[str]:
    said = [f"{word} is {_texts(values)}" for word, name in _LISTS.items() if (values := getattr(when, name))]
    said += [f"header {_text(name)} is {_texts(values)}" for name, values in when.headers]
    if when.prompt_over_tokens is not None:
        said.append(f"prompt is over {when.prompt_over_tokens} tokens")
    if when.prompt_under_tokens is not None:
        said.append(f"prompt is under {when.prompt_under_tokens} tokens")
    if when.budget_over_percent is not None:
        said.append(f"budget is over {when.budget_over_percent} percent")
    if when.hours is not None:
        said.append(f"time is from {clock(when.hours.start)} to {clock(when.hours.end)}")
    return said


def _fallback(fallback: Fallback) -> str:
    causes = f"on {' or '.join(fallback.causes)} " if fallback.causes else ""
    return f" then {causes}fall back to {_use(fallback.use)}"


def _use(use: Use) -> str:
    return f"{use.strategy} of {', '.join(map(_leg, use.legs))}"


def _leg(leg: RouteTarget) -> str:
    weight = "" if leg.weight == 1 else f" weight {leg.weight}"
    tier = "" if leg.tier == 0 else f" tier {leg.tier}"
    return f"{_text(leg.target)}{weight}{tier}"


def _text(value: str) -> str:
    return orjson.dumps(value).decode()


def _texts(values: tuple[str, ...]) -> str:
    return " or ".join(map(_text, values))


def clock(minute: int) -> str:
    """Of a minute of the day: 75 → "01:15"."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


class _Reader:
    """Reads a sentence from left to right; each method takes what it names."""

    def __init__(self, sentence: str) -> None:
        self._tokens = _tokens(sentence)
        self._at = 0

    def rule(self) -> Rule:
        when = self._when() if self._takes("when") else When()
        self._expect("use")
        use, fallbacks = self._use(), []
        while self._takes("then"):
            causes = self._causes() if self._takes("on") else ()
            self._expect("fall", "back", "to")
            fallbacks.append(Fallback(self._use(), causes))
        if self._next() is not None:
            raise self._wrong("the end, or “then”")
        return Rule(use, when, tuple(fallbacks))

    def _when(self) -> When:
        said: dict[str, Any] = {}
        while True:
            name, value = self._condition()
            if name == "headers":
                said[name] = (*said.get(name, ()), value)
            elif name in said:
                raise RuleInvalid(f"“{name.replace('_', ' ')}” is said twice")
            else:
                said[name] = value
            if not self._takes("and"):
                return When(**said)

    def _condition(self) -> tuple[str, Any]:
        if self._takes("header"):
            name = self._text().lower()
            self._expect("is")
            return "headers", (name, self._texts())
        if self._takes("prompt"):
            self._expect("is")
            return self._prompt()
        if self._takes("budget"):
            self._expect("is", "over")
            percent = self._number(MOST_PERCENT)
            self._expect("percent")
            return "budget_over_percent", percent
        if self._takes("time"):
            self._expect("is", "from")
            start = self._clock()
            self._expect("to")
            return "hours", Hours(start, self._clock())
        for words, name in _LISTS.items():
            if self._takes(*words.split()):
                self._expect("is")
                return name, self._texts()
        raise self._wrong("a condition: model, key, member, tag, header, data class, prompt, budget or time")

    def _prompt(self) -> tuple[str, int]:
        for word in ("over", "under"):
            if self._takes(word):
                tokens = self._number(MOST_TOKENS)
                self._expect("tokens")
                return f"prompt_{word}_tokens", tokens
        raise self._wrong("“over” or “under”")

    def _use(self) -> Use:
        strategy = self._word("a strategy")
        self._expect("of")
        legs = [self._leg()]
        while self._takes(","):
            legs.append(self._leg())
        return Use(strategy, tuple(legs))

    def _leg(self) -> RouteTarget:
        target = self._text()
        weight = self._number() if self._takes("weight") else 1
        tier = self._number() if self._takes("tier") else 0
        return RouteTarget(target, weight, tier)

    def _causes(self) -> tuple[str, ...]:
        found: list[str] = []
        while True:
            cause = self._word("a cause")
            if cause not in CAUSES:
                raise RuleInvalid(f"there is no cause “{cause}”; there are {', '.join(CAUSES)}")
            found.append(cause)
            if not self._takes("or"):
                return tuple(dict.fromkeys(found))

    def _texts(self) -> tuple[str, ...]:
        found = [self._text()]
        while self._takes("or"):
            found.append(self._text())
        return tuple(dict.fromkeys(found))

    def _text(self) -> str:
        token = self._next()
        if token is None or not token.startswith('"'):
            raise self._wrong("a text in quotation marks")
        self._at += 1
        try:
            text: str = orjson.loads(token)
        except orjson.JSONDecodeError:
            raise RuleInvalid(f"{token} is no text") from None
        if not text:
            raise RuleInvalid("a text is not empty")
        return text

    def _number(self, most: int = 1_000_000_000) -> int:
        token = self._next()
        if token is None or not token.isdecimal() or int(token[:12]) > most:
            raise self._wrong(f"a number up to {most}")
        self._at += 1
        return int(token)

    def _clock(self) -> int:
        token = self._next() or ""
        hour, colon, minute = token.partition(":")
        at = int(hour) * 60 + int(minute) if colon else MINUTES_A_DAY
        if at >= MINUTES_A_DAY or int(minute) > 59:
            raise self._wrong("a time such as 09:30")
        self._at += 1
        return at

    def _word(self, what: str) -> str:
        token = self._next()
        if token is None or not token[0].isalpha():
            raise self._wrong(what)
        self._at += 1
        return token

    def _next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _takes(self, *words: str) -> bool:
        if tuple(self._tokens[self._at : self._at + len(words)]) != words:
            return False
        self._at += len(words)
        return True

    def _expect(self, *words: str) -> None:
        if not self._takes(*words):
            raise self._wrong(f"“{' '.join(words)}”")

    def _wrong(self, wanted: str) -> RuleInvalid:
        before = " ".join(self._tokens[max(0, self._at - 4) : self._at])
        found = self._next()
        there = f"“{found}”" if found is not None else "the end"
        return RuleInvalid(f"after “{before}” comes {wanted}, not {there}" if before else f"{wanted} comes first")


def _tokens(sentence: str) -> list[str]:
    found, at, text = [], 0, sentence.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise RuleInvalid(f"“{text[at : at + 20].strip()}” is no part of a rule")
        found.append(match[1])
        at = match.end()
    return found
