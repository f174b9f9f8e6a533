"""Whether this machine takes requests now, and why not: a decision over what was read, and nothing else.

Leaving is immediate, coming back is not: the conditions of idle time must hold for a while first, or a machine whose
owner reads and scrolls would come and go all day. What cannot be read is taken as in use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from shareai_node.orders import IdleRules, Orders, Span

RETURN_AFTER_S = 60.0
_DAY_MINUTES = 24 * 60


class Reason(StrEnum):
    """Why not. The console knows these words."""

    DRAINING = "draining"
    PAUSED = "paused"
    NO_LOCAL_SERVER = "no_local_server"
    CALENDAR = "calendar"
    ON_BATTERY = "on_battery"
    USER_ACTIVE = "user_active"
    GPU_BUSY = "gpu_busy"


@dataclass(frozen=True, slots=True)
class Switches:
    """What the owner said on this machine.

    Args:
        paused: None: neither `pause` nor `resume` was said.
    """

    paused: bool | None = None
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Readings:
    """None: cannot be read.

    Args:
        looked: whether somebody uses it, since idle time began; before that `quiet_s` says nothing.
        quiet_s: since somebody touched the machine.
        load: of the busiest GPU, 0 to 1; of the processor where there is no GPU.
        serving: a request of the console is in flight or just was, so the load is our own.
        local_time: in the zone of the calendar.
    """

    looked: bool = True
    quiet_s: float | None = None
    load: float | None = None
    on_battery: bool | None = None
    serving: bool = False
    local_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What was decided.

    Args:
        good_since_s: on the monotonic clock; since when nothing has stood against it.
        must_wait: somebody used the machine, and it comes back only after a while.
    """

    accepting: bool
    reason: Reason | None = None
    detail: str | None = None
    good_since_s: float | None = None
    must_wait: bool = False


STARTING = Standing(accepting=False)


def decide(
    orders: Orders, switches: Switches, server_ok: bool, readings: Readings, now_s: float, former: Standing
) -> Standing:
    """
    Args:
        server_ok: a local server answers and has a model to offer.
        now_s: on the monotonic clock.
        former: the last decision; at the start `STARTING`.
    """
    if refusal := _by_switch(orders, switches, server_ok):
        return replace(refusal, must_wait=former.must_wait)
    if orders.mode != "idle":
        return Standing(accepting=True)
    if refusal := _by_calendar(orders.idle, readings.local_time):
        return replace(refusal, must_wait=former.must_wait)
    if refusal := _by_use(orders.idle, readings):
        # Before the first look nothing is known of the machine; that is no use from which it comes back.
        used = readings.looked and (former.accepting or readings.quiet_s is not None)
        return replace(refusal, must_wait=former.must_wait or used)
    return _returning(now_s, former) if former.must_wait else Standing(accepting=True)


def _by_switch(orders: Orders, switches: Switches, server_ok: bool) -> Standing | None:
    if switches.draining:
        return _no(Reason.DRAINING, "The owner takes this machine out of service.")
    if switches.paused:
        return _no(Reason.PAUSED, "Paused on this machine. Resume with: shareai-node resume")
    if orders.paused:
        return _no(Reason.PAUSED, "Paused in the console.")
    if orders.mode == "manual" and switches.paused is None:
        return _no(Reason.PAUSED, "Waits for its owner. Start with: shareai-node resume")
    if not server_ok:
        return _no(Reason.NO_LOCAL_SERVER, "No local server offers a model.")
    return None


def _by_calendar(rules: IdleRules, local_time: datetime | None) -> Standing | None:
    if not rules.calendar:
        return None
    if local_time is None:
        return _no(Reason.CALENDAR, f"This machine does not know the time zone {rules.time_zone}.")
    if not any(_is_within(local_time, span) for span in rules.calendar):
        return _no(Reason.CALENDAR, "Outside the hours of its calendar.")
    return None


def _by_use(rules: IdleRules, readings: Readings) -> Standing | None:
    if not readings.looked:
        return _no(Reason.USER_ACTIVE, "Looks whether somebody uses this machine.")
    if readings.on_battery is not False:
        known = readings.on_battery is not None
        return _no(Reason.ON_BATTERY, "On battery." if known else "Cannot tell whether it runs on battery.")
    if readings.quiet_s is None:
        return _no(Reason.USER_ACTIVE, "Cannot tell whether somebody uses this machine. See: shareai-node doctor")
    if readings.quiet_s < rules.quiet_minutes * 60:
        return _no(Reason.USER_ACTIVE, f"In use; it serves after {rules.quiet_minutes} quiet minutes.")
    if rules.gpu_below >= 1 or readings.serving:
        return None
    if readings.load is None:
        return _no(Reason.GPU_BUSY, "Cannot tell how busy the GPU is. See: shareai-node doctor")
    if readings.load >= rules.gpu_below:
        return _no(Reason.GPU_BUSY, f"Busy at {readings.load:.0%}; it serves below {rules.gpu_below:.0%}.")
    return None


def _returning(now_s: float, former: Standing) -> Standing:
    since_s = now_s if former.good_since_s is None else former.good_since_s
    if now_s - since_s >= RETURN_AFTER_S:
        return Standing(accepting=True)
    reason = former.reason or Reason.USER_ACTIVE
    return Standing(False, reason, "Has become idle, and comes back in a minute.", since_s, must_wait=True)


def _no(reason: Reason, detail: str) -> Standing:
    return Standing(False, reason, detail)


def _is_within(now: datetime, span: Span) -> bool:
    minute = now.hour * 60 + now.minute
    if span.from_minute < span.to_minute:
        return now.weekday() in span.days and span.from_minute <= minute < span.to_minute
    if now.weekday() in span.days and minute >= span.from_minute:
        return True
    yesterday = (now.weekday() - 1) % 7
    return yesterday in span.days and minute < span.to_minute % _DAY_MINUTES
