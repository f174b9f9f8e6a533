"""A call that asks for nothing in particular is asked fewer questions, and gets the same answers."""

from __future__ import annotations

from itertools import product

import pytest

from routing.filters import FILTERS, filters_for
from tests.routing.builders import call, target

TOOLS = [{"type": "function", "function": {"name": "f"}}]
WISHES = {
    "nothing": {},
    "tools": {"tools": TOOLS},
    "too long": {"size": 10_000},
    "another": {"provider": {"only": ["b"]}},
    "all parameters": {"provider": {"require_parameters": True}, "top_k": 3},
    "all parameters and tools": {"provider": {"require_parameters": True}, "tools": TOOLS},
    "cheap": {"provider": {"max_price": {"prompt": 0.001}}},
    "by speed, no wish of who": {"provider": {"sort": "latency"}},
}
TARGETS = {
    "plain": {},
    "embeds": {"kind": "embedding"},
    "short": {"context_tokens": 100},
    "sees only": {"capabilities": frozenset({"vision"})},
    "takes no top_k": {"dropped_params": frozenset({"top_k"})},
    "unpriced": {"price": None},
}


@pytest.mark.parametrize(("wish", "kind"), product(WISHES, TARGETS))
def test_the_fewer_questions_refuse_what_all_of_them_would(wish, kind):
    asked, one = call(**WISHES[wish]), target("a", **TARGETS[kind])

    def first_refusal(filters):
        return next((reason for reject in filters if (reason := reject(asked, one)) is not None), None)

    assert first_refusal(filters_for(asked)) == first_refusal(FILTERS)


def test_the_cases_refuse_for_many_reasons():
    found = {
        reject(call(**wish), target("a", **kind))
        for wish in WISHES.values()
        for kind in TARGETS.values()
        for reject in FILTERS
    }
    assert found >= {
        None,
        "wrong_kind",
        "not_wanted",
        "lacks_capability",
        "lacks_parameter",
        "context_too_short",
        "too_expensive",
        "price_unknown",
    }
