from datetime import UTC, datetime, timedelta, timezone

import pytest

from common.clock import SYSTEM_CLOCK, ManualClock


def test_the_system_clock_is_aware_utc_and_agrees_with_itself():
    now = SYSTEM_CLOCK.now()
    assert now.utcoffset() == timedelta(0)
    assert abs(now.timestamp() - SYSTEM_CLOCK.unix_s()) < 60


def test_monotonic_time_does_not_go_back():
    first = SYSTEM_CLOCK.monotonic_s()
    assert SYSTEM_CLOCK.monotonic_s() >= first


def test_a_manual_clock_moves_only_when_told():
    clock = ManualClock()
    start = clock.now()
    assert clock.now() == start
    clock.advance(90.5)
    assert clock.now() - start == timedelta(seconds=90.5)
    assert clock.monotonic_s() == 90.5
    assert clock.unix_s() == start.timestamp() + 90.5


def test_wall_time_may_be_corrected_and_monotonic_time_not():
    clock = ManualClock()
    clock.advance(10)
    clock.set_now(datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=7))))
    assert clock.now() == datetime(2019, 12, 31, 17, tzinfo=UTC)
    assert clock.monotonic_s() == 10
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


@pytest.mark.parametrize("use", [ManualClock, lambda naive: ManualClock().set_now(naive)])
def test_naive_times_are_refused(use):
    with pytest.raises(ValueError, match="aware"):
        use(datetime(2026, 1, 1))
