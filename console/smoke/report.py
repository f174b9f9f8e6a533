"""What a run tells: checks with a verdict, each made of steps that took their time. Words come when it is shown."""

from __future__ import annotations

from typing import Any

import msgspec

PASSED, FAILED, SKIPPED, RUNNING = "passed", "failed", "skipped", "running"

ANSWERS, OUTAGE, COSTS, CACHE, LIMITS = CHECKS = ("answers", "outage", "costs", "cache", "limits")

Fact = str | int | None


class Step(msgspec.Struct, frozen=True):
    """`name` is a key of `words.STEPS`, which `facts` complete; money in facts is in nano-USD."""

    name: str
    ok: bool
    ms: int
    facts: dict[str, Fact] = {}


class CheckReport(msgspec.Struct, frozen=True):
    check: str
    verdict: str
    ms: int = 0
    steps: tuple[Step, ...] = ()


def reports_of(stored: list[dict[str, Any]]) -> list[CheckReport]:
    """From the column of a run."""
    return msgspec.convert(stored, list[CheckReport])


def verdict_of(reports: list[CheckReport]) -> str:
    """Of a run that is over: one failure fails it; what nothing could be checked of was skipped."""
    verdicts = {report.verdict for report in reports}
    if FAILED in verdicts or RUNNING in verdicts:
        return FAILED
    return PASSED if PASSED in verdicts else SKIPPED
