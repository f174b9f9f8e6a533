"""The moment at which a request began, as the journal has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from metering import usage


def test_it_is_now_in_utc_with_microseconds():
    before = datetime.now(UTC)
    moment = datetime.fromisoformat(usage.moment_now())
    assert before - timedelta(microseconds=1) <= moment <= datetime.now(UTC)
    assert moment.utcoffset() == timedelta(0)


def test_the_next_second_is_another(monkeypatch):
    """What is remembered of one second is not said of the next."""
    said = []
    for nanoseconds in (1_999_999_999, 2_000_000_000, 2_000_001_999, 1_000_000_000):
        monkeypatch.setattr(usage.time, "time_ns", lambda now=nanoseconds: now)
        said.append(usage.moment_now())
    assert said == [
        "1970-01-01T00:00:01.999999+00:00",
        "1970-01-01T00:00:02.000000+00:00",
        "1970-01-01T00:00:02.000001+00:00",
        "1970-01-01T00:00:01.000000+00:00",
    ]
