"""What a route may say of its streams, and what of it is refused."""

from __future__ import annotations

import pytest

from accounts.errors import InvalidField
from routing.plans import Hedge
from routing.stream_policies import check_streams, hedge_of


def test_nothing_said_is_nothing_done():
    assert check_streams({}) == {"continue_streams": False, "hedge": None}
    assert hedge_of(None) is None


def test_a_hedge_is_whole_when_stored():
    stored = check_streams({"hedge": {}})["hedge"]
    assert stored == {"after_ms": None, "most_percent": 5, "most_extra_usd": "0.01"}
    assert hedge_of(stored) == Hedge(None, 5, 10_000_000)
    stored = check_streams({"hedge": {"after_ms": 250, "most_percent": 10, "most_extra_usd": 0.0200}})["hedge"]
    assert stored["most_extra_usd"] == "0.02"
    assert hedge_of(stored) == Hedge(0.25, 10, 20_000_000)


@pytest.mark.parametrize(
    "hedge",
    [
        "yes",
        {"after": 5},
        {"after_ms": 0},
        {"after_ms": True},
        {"most_percent": 51},
        {"most_percent": "5"},
        {"most_extra_usd": "NaN"},
        {"most_extra_usd": -1},
        {"most_extra_usd": "much"},
        {"most_extra_usd": 101},
    ],
)
def test_what_is_no_hedge_is_refused(hedge):
    with pytest.raises(InvalidField) as caught:
        check_streams({"hedge": hedge})
    assert caught.value.param == "hedge"
