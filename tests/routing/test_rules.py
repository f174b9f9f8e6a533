"""The grammar of rules: what each condition means; every rule is one sentence, every sentence one rule."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from providers.failures import Kind
from routing.legs import RouteTarget
from routing.rules import (
    CAUSES,
    DATA_CLASSES,
    MINUTES_A_DAY,
    Facts,
    Fallback,
    Hours,
    Rule,
    RuleInvalid,
    Use,
    When,
    check,
    first_match,
    kinds_of,
    matches,
    targets_of,
)
from routing.scorers import STRATEGIES
from routing.sentences import parsed, rendered

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
TEXTS = st.lists(TEXT, unique=True, max_size=3).map(tuple)
SOME = st.lists(TEXT, unique=True, min_size=1, max_size=3).map(tuple)
TOKENS = st.none() | st.integers(0, 10_000_000)
MINUTE = st.integers(0, MINUTES_A_DAY - 1)
LEGS = st.builds(RouteTarget, TEXT, st.integers(0, 10_000), st.integers(0, 100))
USES = st.builds(Use, st.sampled_from(STRATEGIES), st.lists(LEGS, min_size=1, max_size=4).map(tuple))
CAUSE_LISTS = st.lists(st.sampled_from(list(CAUSES)), unique=True, max_size=3).map(tuple)
HEADER = st.tuples(st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), SOME)
WHENS = st.builds(
    When,
    *(TEXTS,) * 4,
    st.lists(HEADER, max_size=2).map(tuple),
    st.lists(st.sampled_from(DATA_CLASSES), unique=True, max_size=2).map(tuple),
    TOKENS,
    TOKENS,
    st.none() | st.integers(0, 1000),
    st.none() | st.builds(Hours, MINUTE, MINUTE),
)
WORDS = (
    *('"a"', "when", "use", "of", "or", "and", "is", "model", "cheapest", "then", "fall", "back", "to", "on"),
    *("timeout", "prompt", "over", "5", "tokens", "09:30", ",", "tier"),
)
RULES = st.builds(Rule, USES, WHENS, st.lists(st.builds(Fallback, USES, CAUSE_LISTS), max_size=3).map(tuple))


@given(RULES)
def test_every_rule_renders_to_a_sentence_and_back(rule):
    try:
        check(rule)
    except RuleInvalid:
        assume(False)
    assert parsed(rendered(rule)) == rule


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join))
def test_whatever_is_written_is_a_rule_or_refused(text):
    try:
        rule = parsed(text)
    except RuleInvalid:
        return
    assert parsed(rendered(rule)) == rule


def test_a_sentence_reads_as_one():
    said = (
        'when model is "fast" or "good" and tag is "batch" and prompt is over 8000 tokens '
        "and time is from 22:00 to 06:00 "
        'use cheapest of "groq/gpt-oss-120b" weight 3, "openai/gpt-5-mini" tier 1 '
        'then on timeout or rate_limit fall back to priority of "node/office/llama" '
        'then fall back to priority of "gpt-5-mini"'
    )
    rule = parsed(said)
    assert rendered(rule) == said
    assert targets_of(rule) == ["groq/gpt-oss-120b", "openai/gpt-5-mini", "node/office/llama", "gpt-5-mini"]


FACTS = Facts(
    models=frozenset({"fast"}),
    keys=frozenset({"key_1", "Night jobs"}),
    member="bob@acme.test",
    tags=frozenset({"batch", "night"}),
    headers={"x-team": "red"},
    data_class="internal",
    prompt_tokens=100,
    budget_percent=80.5,
    minute=60,
)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('model is "good" or "fast"', True),
        ('model is "good"', False),
        ('key is "key_1"', True),
        ('key is "Night jobs"', True),
        ('key is "key_2"', False),
        ('member is "bob@acme.test"', True),
        ('member is "carol@acme.test"', False),
        ('tag is "night"', True),
        ('tag is "day"', False),
        ('header "X-Team" is "red"', True),
        ('header "x-team" is "blue"', False),
        ('header "x-none" is "red"', False),
        ('data class is "internal"', True),
        ('data class is "public"', False),
        ("prompt is over 99 tokens", True),
        ("prompt is over 100 tokens", False),
        ("prompt is under 101 tokens", True),
        ("prompt is under 100 tokens", False),
        ("budget is over 80 percent", True),
        ("budget is over 81 percent", False),
        ("time is from 01:00 to 02:00", True),
        ("time is from 00:00 to 01:00", False),
        ("time is from 22:00 to 06:00", True),
        ("time is from 22:00 to 00:30", False),
        ('model is "fast" and tag is "day"', False),
    ],
)
def test_what_a_condition_means(condition, holds):
    assert matches(parsed(f'when {condition} use priority of "m"').when, FACTS) is holds


def test_the_first_rule_that_fits_decides():
    rules = [
        parsed('when tag is "day" use priority of "a"'),
        parsed('use priority of "b"'),
        parsed('use priority of "c"'),
    ]
    number, rule = first_match(rules, FACTS)
    assert (number, targets_of(rule)) == (2, ["b"])
    assert first_match(rules[:1], FACTS) is None


def test_a_fallback_covers_its_causes():
    [limited, late, rest] = parsed(
        'use priority of "a" then on rate_limit or unavailable fall back to priority of "b" '
        'then on timeout fall back to priority of "c" then fall back to priority of "d"'
    ).fallbacks
    assert kinds_of(limited.causes) == {Kind.RATE_LIMITED}
    assert kinds_of(rest.causes) is None
    assert [each.comes_untried for each in (limited, late, rest)] == [True, False, True]


def test_every_failure_after_which_another_target_is_asked_has_one_cause():
    named = [kind for kinds in CAUSES.values() for kind in kinds]
    assert sorted(named) == sorted(set(Kind) - {Kind.REJECTED})


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("", "“use” comes first"),
        ('use fast of "a"', "there is no strategy “fast”"),
        ("use cheapest of a", "a text in quotation marks"),
        ('use cheapest of ""', "not empty"),
        ('use cheapest of "a" weight 0', "weight above 0"),
        ('use cheapest of "a" tier 101', "a tier at most 100"),
        ('when colour is "red" use cheapest of "a"', "a condition"),
        ('when model is "a" and model is "b" use cheapest of "a"', "said twice"),
        ('when data class is "secret" use cheapest of "a"', "no data class"),
        ('when header "Authorization" is "Bearer sk" use cheapest of "a"', "carry secrets"),
        ('when prompt is over 9 tokens and prompt is under 10 tokens use cheapest of "a"', "no prompt is"),
        ('when time is from 25:00 to 03:00 use cheapest of "a"', "a time such as"),
        ('when time is from 03:00 to 03:00 use cheapest of "a"', "the same time"),
        ('use cheapest of "a" then on fire fall back to cheapest of "b"', "no cause “fire”"),
        ('use cheapest of "a" then fall back to cheapest of "b" then fall back to cheapest of "c"', "nothing to it"),
        ('use cheapest of "a" please', "the end, or “then”"),
        ('use cheapest of "a" ; drop', "no part of a rule"),
    ],
)
def test_a_mistake_is_told_in_words(sentence, told):
    with pytest.raises(RuleInvalid, match=told):
        parsed(sentence)
