"""The breaker: five in a row or half of twenty open it, one probe closes it, the open time doubles."""

from __future__ import annotations

from routing.health import LONGEST_OPEN_S, OPEN_S, Breaker, Health


def broken(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(now)
    return breaker


def test_five_failures_in_a_row_open_it():
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0)
    assert breaker.allows(0)
    breaker.failed(0)
    assert not breaker.allows(OPEN_S - 0.1)


def test_a_success_between_starts_the_count_anew():
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0)
    breaker.succeeded(0)
    for _ in range(4):
        breaker.failed(0)
    assert breaker.allows(0)


def test_half_of_twenty_within_the_window_open_it():
    breaker = Breaker()
    for second in range(10):
        breaker.failed(second)
        assert breaker.allows(second)
        breaker.succeeded(second)
    assert breaker.allows(10)
    breaker.failed(10)
    assert not breaker.allows(10)


def test_old_failures_are_forgotten():
    breaker = Breaker()
    for second in range(10):
        breaker.failed(second)
        breaker.succeeded(second)
    breaker.failed(100)
    assert breaker.allows(100)


def test_one_probe_at_a_time():
    breaker = broken()
    assert breaker.allows(OPEN_S)
    breaker.take(OPEN_S)
    assert not breaker.allows(OPEN_S)


def test_a_good_probe_closes_it():
    breaker = broken()
    breaker.take(OPEN_S)
    breaker.succeeded(OPEN_S + 1)
    assert breaker.allows(OPEN_S + 1)
    for _ in range(4):
        breaker.failed(OPEN_S + 1)
    assert breaker.allows(OPEN_S + 1)


def test_bad_probes_double_the_wait_up_to_a_limit():
    breaker, now, waits = broken(), OPEN_S, []
    for _ in range(7):
        breaker.take(now)
        breaker.failed(now)
        waits.append(breaker.open_until - now)
        now = breaker.open_until
    assert waits == [30, 60, 120, 240, LONGEST_OPEN_S, LONGEST_OPEN_S, LONGEST_OPEN_S]


def test_a_probe_whose_caller_left_is_no_evidence():
    breaker = broken()
    breaker.take(OPEN_S)
    breaker.release()
    assert breaker.allows(OPEN_S)


def test_a_pair_is_skipped_until_it_may_be_used():
    health = Health()
    health.cool_down(1, 2, 10, 5)
    assert health.skipped_until(1, 2, 12) == 15
    assert health.skipped_until(1, 2, 15) is None
    assert health.skipped_until(1, 3, 12) is None
