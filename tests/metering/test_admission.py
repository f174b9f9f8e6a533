"""What a caller is told of its limits."""

from __future__ import annotations

import pytest

from accounts.scopes import LimitRecord
from metering.admission import charges_of, duration, headers_of, refusal_of
from metering.bounds import bounds_of, limits_of
from metering.shares import Verdict


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (11_500, "12ms"),
        (1_000_000, "1s"),
        (8_640_000, "8.64s"),
        (59_999_100, "1m0s"),
        (360_000_000, "6m0s"),
        (86_343_000_000, "23h59m3s"),
    ],
)
def test_durations_are_written_as_openai_does(us, text):
    assert duration(us) == text


def test_the_headers_tell_the_scope_with_the_least_left():
    wide = bounds_of(1, LimitRecord("organisation", "", rpm=100, tpm=1000))
    narrow = bounds_of(1, LimitRecord("key", "7", rpm=60, concurrency=3))
    charges = charges_of([*wide, *narrow], 300)
    headers = headers_of(charges, Verdict(-1, 0.0, [600_000, 18_000_000, 2_000_000, 1]))
    assert dict(headers) == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"58",
        b"x-ratelimit-reset-requests": b"2s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"700",
        b"x-ratelimit-reset-tokens": b"18s",
    }


def refused(kind: str, wait_us: float):
    charges = charges_of(bounds_of(1, LimitRecord("model", "big", label="big", **{kind: 10})), 5)
    return refusal_of(charges, Verdict(0, wait_us, [0.0]))


def test_a_rate_says_when_to_come_again():
    error = refused("rpm", 2_500_000)
    assert (error.status, error.code, error.metadata["scope"]) == (429, "rate_limit_exceeded", "model")
    assert error.metadata == {"scope": "model", "limit": 10, "kind": "rpm", "subject": "big"}
    assert dict(error.headers()) == {
        b"x-should-retry": b"true",
        b"retry-after": b"3",
        b"retry-after-ms": b"2500",
    }


@pytest.mark.parametrize("kind", ["rpd", "tpd"])
def test_a_daily_quota_says_not_to_come_again(kind):
    error = refused(kind, 8_640_000_000)
    assert (error.status, error.code) == (429, "quota_exceeded")
    assert dict(error.headers())[b"x-should-retry"] == b"false"


def test_slots_have_a_code_of_their_own():
    assert (refused("concurrency", 0).status, refused("concurrency", 0).code) == (429, "concurrency_limit_exceeded")


def test_the_keys_that_replaced_a_key_share_its_bucket():
    limits = limits_of(1, [LimitRecord("key", "7", rpm=5, also=("9", "12"))])
    assert limits is not None
    assert limits.keys[7] == limits.keys[9] == limits.keys[12]
    assert limits.of_caller(3, 12, "") == list(limits.keys[7])


def test_nothing_set_is_nothing_to_ask():
    assert limits_of(1, []) is None
