"""What monitoring counts of usage records."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from metering.tally import DURATIONS_S, NODE, PROVIDER, Spread, Tally, sum_of
from metering.usage import AttemptRecord, UsageRecord


def attempt(target: str, outcome: str) -> AttemptRecord:
    return AttemptRecord(target, 1, "", outcome, 200, 0, 10)


def record(*attempts: AttemptRecord, status: int = 200, **fields: object) -> UsageRecord:
    return UsageRecord(
        request_id="req_1",
        started_at="2026-01-01T00:00:00+00:00",
        org_id=1,
        key_id=1,
        user_id=None,
        endpoint="chat/completions",
        model="m",
        status=status,
        attempts=attempts,
        target=attempts[-1].target if attempts else "",
        **{"billing_reason": "completed", "usage_source": "reported", **fields},  # type: ignore[arg-type]
    )


def test_a_request_that_went_on_from_a_provider_to_a_machine() -> None:
    tally = Tally()
    tally.note(
        record(
            attempt("a/m", "http_500"),
            attempt("node/desk/m", "ok"),
            input_tokens=7,
            cached_tokens=2,
            output_tokens=5,
            cost_nanos=90,
            duration_ms=400,
            ttft_ms=100,
            overhead_us=300,
        )
    )
    assert tally.requests == {("chat/completions", 200, ""): 1}
    assert tally.attempts == {(PROVIDER, "http_500"): 1, (NODE, "ok"): 1}
    assert tally.rescued == 1
    assert tally.tokens == {"input": 7, "cached_input": 2, "output": 5}
    assert tally.cost_nanos == 90
    assert tally.first_tokens.keys() == {NODE}
    assert tally.durations["chat/completions"].total == 0.4
    assert sum(tally.overheads.counts) == 1


def test_nobody_was_asked_for_what_came_from_memory() -> None:
    tally = Tally()
    tally.note(record(cache="HIT", input_tokens=7, output_tokens=5, ttft_ms=1))
    assert tally.requests == {("chat/completions", 200, "HIT"): 1}
    assert not tally.tokens
    assert not tally.first_tokens


def test_what_failed_everywhere_is_not_rescued() -> None:
    tally = Tally()
    tally.note(record(attempt("a/m", "http_500"), attempt("b/m", "timeout"), status=502))
    assert tally.rescued == 0


@given(st.lists(st.floats(0, 1000)))
def test_each_value_is_below_the_bounds_that_it_does_not_exceed(values: list[float]) -> None:
    spread = Spread.over(DURATIONS_S)
    for value in values:
        spread.note(value)
    at_most = list(accumulate(spread.counts))
    assert at_most == [*(sum(value <= bound for value in values) for bound in DURATIONS_S), len(values)]


def test_added_up_they_are_as_if_one_had_counted() -> None:
    records = [
        record(attempt("a/m", "ok"), input_tokens=n, duration_ms=125 * n, status=200 if n % 2 else 499, ttft_ms=250)
        for n in range(1, 9)
    ]
    whole, halves = Tally(), (Tally(), Tally())
    for n, one in enumerate(records):
        whole.note(one)
        halves[n % 2].note(one)
    assert sum_of(halves) == whole
    assert sum_of([]) == Tally()
