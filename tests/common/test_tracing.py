"""W3C trace context: what is taken, what is taken for absent, what is passed on."""

from __future__ import annotations

import re

import pytest

from common.tracing import Trace, trace_in

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("said", "trace"),
    [
        (f"00-{ID}-{SPAN}-01", Trace(ID, 1)),
        (f" 00-{ID}-{SPAN}-00\t", Trace(ID, 0)),
        (f"cc-{ID}-{SPAN}-01", Trace(ID, 1)),
        (f"cc-{ID}-{SPAN}-01-what-will-be", Trace(ID, 1)),
    ],
)
def test_what_is_taken(said, trace):
    assert trace_in(said) == trace


@pytest.mark.parametrize(
    "said",
    [
        "",
        "nonsense",
        f"ff-{ID}-{SPAN}-01",
        f"00-{ID}-{SPAN}-01-more",
        f"cc-{ID}-{SPAN}-01more",
        f"00-{ID.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01",
        f"00-{ID[1:]}-{SPAN}-01",
        f"00-{ID}-{SPAN}-1",
        f"00-{ID}-{SPAN}",
        f"00-{ID}-{SPAN}-01,00-{ID}-{SPAN}-01",
        f"0٠-{ID}-{SPAN}-01",
        f"00-{ID}-{SPAN}-01\r\nx: y",
    ],
)
def test_what_is_taken_for_absent(said):
    assert trace_in(said) is None


def test_a_child_is_of_the_same_trace_with_a_span_of_its_own():
    trace = Trace(ID, 0xFF)
    children = {trace.child() for _ in range(3)}
    assert len(children) == 3
    assert all(re.fullmatch(f"00-{ID}-[0-9a-f]{{16}}-03", child) for child in children)
    assert all(trace_in(child) == Trace(ID, 3) for child in children)
