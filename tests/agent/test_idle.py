"""Whether a machine takes requests: every rule on its row, then what follows from the last decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from shareai_node.idle import RETURN_AFTER_S, STARTING, Readings, Reason, Standing, Switches, decide
from shareai_node.orders import IdleRules, Orders, Span, understood

WEEKDAYS = frozenset(range(5))
NIGHTS = Span(WEEKDAYS, 22 * 60, 6 * 60)
QUIET = Readings(quiet_s=3600, load=0.02, on_battery=False, local_time=datetime(2026, 3, 4, 12, 0))
IDLE = Orders(mode="idle", idle=IdleRules(quiet_minutes=10, gpu_below=0.2))
ALWAYS = Orders()
MANUAL = Orders(mode="manual")
NOTHING = Switches()


def at(text: str) -> Readings:
    return replace(QUIET, local_time=datetime.fromisoformat(text))


def with_rules(**rules: object) -> Orders:
    return replace(IDLE, idle=replace(IDLE.idle, **rules))


@pytest.mark.parametrize(
    ("orders", "switches", "server_ok", "readings", "reason"),
    [
        (ALWAYS, NOTHING, True, Readings(), None),
        (ALWAYS, NOTHING, False, Readings(), Reason.NO_LOCAL_SERVER),
        (ALWAYS, Switches(paused=True), True, QUIET, Reason.PAUSED),
        (ALWAYS, Switches(paused=False), True, QUIET, None),
        (ALWAYS, Switches(paused=False, draining=True), True, QUIET, Reason.DRAINING),
        (replace(ALWAYS, paused=True), Switches(paused=False), True, QUIET, Reason.PAUSED),
        (replace(ALWAYS, paused=True), Switches(draining=True), False, QUIET, Reason.DRAINING),
        (MANUAL, NOTHING, True, QUIET, Reason.PAUSED),
        (MANUAL, Switches(paused=False), True, Readings(), None),
        (IDLE, NOTHING, True, QUIET, None),
        (IDLE, NOTHING, True, replace(QUIET, quiet_s=599.9), Reason.USER_ACTIVE),
        (IDLE, NOTHING, True, replace(QUIET, quiet_s=600), None),
        (IDLE, NOTHING, True, replace(QUIET, quiet_s=None), Reason.USER_ACTIVE),
        (IDLE, NOTHING, True, replace(QUIET, load=0.2), Reason.GPU_BUSY),
        (IDLE, NOTHING, True, replace(QUIET, load=0.19), None),
        (IDLE, NOTHING, True, replace(QUIET, load=None), Reason.GPU_BUSY),
        (IDLE, NOTHING, True, replace(QUIET, load=0.99, serving=True), None),
        (IDLE, NOTHING, True, replace(QUIET, load=None, serving=True), None),
        (with_rules(gpu_below=1.0), NOTHING, True, replace(QUIET, load=None), None),
        (with_rules(gpu_below=1.0), NOTHING, True, replace(QUIET, load=1.0), None),
        (with_rules(quiet_minutes=0), NOTHING, True, replace(QUIET, quiet_s=0), None),
        (IDLE, NOTHING, True, replace(QUIET, on_battery=True), Reason.ON_BATTERY),
        (IDLE, NOTHING, True, replace(QUIET, on_battery=None), Reason.ON_BATTERY),
        (IDLE, NOTHING, True, Readings(), Reason.ON_BATTERY),
        (IDLE, NOTHING, True, Readings(looked=False), Reason.USER_ACTIVE),
        (ALWAYS, NOTHING, True, Readings(looked=False), None),
        (with_rules(calendar=(NIGHTS,)), NOTHING, True, QUIET, Reason.CALENDAR),
        (with_rules(calendar=(NIGHTS,)), NOTHING, True, replace(QUIET, local_time=None), Reason.CALENDAR),
    ],
)
def test_each_rule(orders, switches, server_ok, readings, reason):
    standing = decide(orders, switches, server_ok, readings, 0, STARTING)
    assert (standing.accepting, standing.reason) == (reason is None, reason)
    assert (standing.detail is None) == standing.accepting


@pytest.mark.parametrize(
    ("when", "open_then"),
    [
        ("2026-03-02T21:59", False),  # a Monday
        ("2026-03-02T22:00", True),
        ("2026-03-03T05:59", True),
        ("2026-03-03T06:00", False),
        ("2026-03-06T23:00", True),  # Friday night …
        ("2026-03-07T05:00", True),  # … goes on into Saturday
        ("2026-03-07T23:00", False),
        ("2026-03-08T23:00", False),
        ("2026-03-02T05:00", False),  # Sunday night was not meant
    ],
)
def test_a_calendar_over_midnight(when, open_then):
    standing = decide(with_rules(calendar=(NIGHTS,)), NOTHING, True, at(when), 0, STARTING)
    assert standing.accepting is open_then


@pytest.mark.parametrize(
    ("span", "when", "open_then"),
    [
        (Span(frozenset({2}), 0, 1440), "2026-03-04T00:00", True),
        (Span(frozenset({2}), 0, 1440), "2026-03-04T23:59", True),
        (Span(frozenset({2}), 0, 1440), "2026-03-05T00:00", False),
        (Span(frozenset({2}), 540, 540), "2026-03-05T08:59", True),
        (Span(frozenset({2}), 540, 540), "2026-03-05T09:00", False),
        (Span(frozenset(), 0, 1440), "2026-03-04T12:00", False),
    ],
)
def test_whole_days(span, when, open_then):
    assert decide(with_rules(calendar=(span,)), NOTHING, True, at(when), 0, STARTING).accepting is open_then


def test_the_hour_that_a_zone_skips_and_the_one_it_has_twice():
    paris = ZoneInfo("Europe/Paris")
    span = Span(frozenset({6}), 2 * 60, 3 * 60)
    orders = with_rules(calendar=(span,))
    for utc, open_then in (
        ("2026-03-29T00:59+00:00", False),
        ("2026-03-29T01:00+00:00", False),  # 3 o'clock at once
        ("2026-10-25T00:30+00:00", True),
        ("2026-10-25T01:30+00:00", True),  # half past two again
    ):
        local = datetime.fromisoformat(utc).astimezone(paris)
        assert decide(orders, NOTHING, True, replace(QUIET, local_time=local), 0, STARTING).accepting is open_then


def series(*steps: tuple[float, Readings]) -> list[Standing]:
    standing, seen = STARTING, []
    for now_s, readings in steps:
        standing = decide(IDLE, NOTHING, True, readings, now_s, standing)
        seen.append(standing)
    return seen


BUSY = replace(QUIET, quiet_s=0)


def test_it_leaves_at_once_and_comes_back_after_a_while():
    seen = series((0, QUIET), (2, BUSY), (10, QUIET), (10 + RETURN_AFTER_S - 1, QUIET), (10 + RETURN_AFTER_S, QUIET))
    assert [one.accepting for one in seen] == [True, False, False, False, True]
    assert seen[2].reason is Reason.USER_ACTIVE


def test_a_touch_while_it_waits_begins_the_wait_anew():
    late = 40 + RETURN_AFTER_S
    seen = series((0, BUSY), (1, QUIET), (39, BUSY), (40, QUIET), (1 + RETURN_AFTER_S, QUIET), (late, QUIET))
    assert [one.accepting for one in seen] == [False, False, False, False, False, True]


def test_nothing_to_wait_for_at_the_start():
    unread = Readings(on_battery=False)
    assert [one.accepting for one in series((0, unread), (2, QUIET))] == [False, True]


def test_a_sensor_that_fails_while_it_serves_ends_it():
    failed = replace(QUIET, quiet_s=None)
    assert [one.accepting for one in series((0, QUIET), (2, failed), (4, QUIET))] == [True, False, False]


def test_idle_time_that_begins_on_an_idle_machine_costs_it_a_look():
    always = decide(ALWAYS, NOTHING, True, Readings(looked=False), 0, STARTING)
    looking = decide(IDLE, NOTHING, True, replace(QUIET, looked=False, quiet_s=None), 1, always)
    assert (looking.accepting, looking.must_wait) == (False, False)
    assert decide(IDLE, NOTHING, True, QUIET, 1, looking).accepting
    assert not decide(IDLE, NOTHING, True, BUSY, 1, looking).accepting


def test_another_mode_needs_no_waiting():
    busy = decide(IDLE, NOTHING, True, BUSY, 0, STARTING)
    assert decide(ALWAYS, NOTHING, True, BUSY, 1, busy).accepting


def test_a_pause_keeps_what_must_be_waited_for():
    busy = decide(IDLE, NOTHING, True, BUSY, 0, STARTING)
    paused = decide(IDLE, Switches(paused=True), True, QUIET, 1, busy)
    assert not decide(IDLE, NOTHING, True, QUIET, 2, paused).accepting


def test_orders_as_they_come():
    said = {
        "paused": True,
        "mode": "idle",
        "models": ["a", "b"],
        "max_concurrent": 7,
        "idle": {
            "quiet_minutes": 5,
            "gpu_below": 0.5,
            "calendar": [{"days": [0, 6], "from": "22:00", "to": "24:00"}],
            "time_zone": "Asia/Bangkok",
        },
    }
    orders = understood(said, Orders())
    assert orders == Orders(
        paused=True,
        mode="idle",
        models=frozenset({"a", "b"}),
        max_concurrent=7,
        idle=IdleRules(5, 0.5, (Span(frozenset({0, 6}), 1320, 1440),), "Asia/Bangkok"),
    )
    assert understood({"models": None}, orders).models is None
    assert understood({}, orders) == orders


@pytest.mark.parametrize(
    "nonsense",
    [
        {"paused": "yes"},
        {"mode": "party"},
        {"models": "all"},
        {"models": [1]},
        {"max_concurrent": 0},
        {"max_concurrent": True},
        {"max_concurrent": 1e9},
        {"idle": []},
        {"idle": {"quiet_minutes": -1, "gpu_below": 2, "time_zone": 7}},
        {
            "idle": {
                "calendar": [{"days": [0], "from": "22:00", "to": "06:00"}, {"days": [7], "from": "a", "to": "b"}]
            }
        },
        {"idle": {"calendar": [{"days": [True], "from": "22:00", "to": "06:00"}]}},
        {"idle": {"gpu_below": float("nan")}},
        {"unknown": 1},
    ],
)
def test_what_makes_no_sense_changes_nothing(nonsense):
    assert understood(nonsense, IDLE) == IDLE
