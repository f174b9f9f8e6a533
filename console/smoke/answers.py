"""S40, a 200 from each route; S42, the cost of one prompt over the routes, found again in the usage report."""

from __future__ import annotations

import time
from datetime import timedelta
from time import perf_counter
from typing import Any

from django.utils import timezone

from accounts.database import give_back_connection
from console.smoke.asking import Answer
from console.smoke.bench import Bench
from console.smoke.subjects import subjects
from metering.models import Usage
from metering.queries import CLOCKS_DIFFER
from metering.reports import usage_report

READY = "Reply with the one word: ready"
COMPARED = "Name three uses of a paper clip, in one sentence."
RECORDED_WITHIN_S = 20.0


def check_answers(bench: Bench) -> None:
    for subject in subjects(bench):
        answer = bench.ask(subject.name, READY, endpoint=subject.endpoint)
        bench.heard(answer, subject.name)


def check_costs(bench: Bench) -> None:
    prompt = bench.run.prompt or COMPARED
    answers: dict[str, Answer] = {}
    for subject in subjects(bench, chat_only=True):
        answers[subject.name] = bench.ask(subject.name, prompt)
        bench.heard(answers[subject.name], subject.name, name="cost")
    _compare({name: answer for name, answer in answers.items() if answer.ok}, bench)
    _find_in_report(list(answers.values()), bench)


def _compare(answers: dict[str, Answer], bench: Bench) -> None:
    if len(answers) < 2:
        return
    ranked = sorted(answers, key=lambda name: answers[name].cost_nanos)
    least, most = ranked[0], ranked[-1]
    costs: dict[str, Any] = {"cost_nanos": answers[least].cost_nanos, "most_cost_nanos": answers[most].cost_nanos}
    bench.step("compared", perf_counter(), model=least, dearest=most, **costs)


def _find_in_report(answers: list[Answer], bench: Bench) -> None:
    """To the last unit: what the answers' headers said is what the report adds up."""
    began = perf_counter()
    wanted = [answer.request_id for answer in answers if answer.request_id]
    _wait_for(wanted, bench)
    end = timezone.now() + timedelta(seconds=1)
    rows = usage_report(bench.organization, bench.began_at - CLOCKS_DIFFER, end, ["key"])
    mine = [row for row in rows if row.key_id == bench.key.pk]
    cost_nanos, requests = sum(row.cost_nanos for row in mine), sum(row.requests for row in mine)
    said_nanos = sum(answer.cost_nanos for answer in answers)
    fits = (cost_nanos, requests) == (said_nanos, len(wanted))
    told = {"requests": requests, "cost_nanos": cost_nanos, "said_nanos": said_nanos, "asked": len(wanted)}
    bench.step("in_report" if fits else "not_in_report", began, ok=fits, **told)


def _wait_for(request_ids: list[str], bench: Bench) -> None:
    give_up_at = time.monotonic() + RECORDED_WITHIN_S
    recent = bench.began_at - CLOCKS_DIFFER
    rows = Usage.objects.of(bench.organization).filter(started_at__gte=recent, request_id__in=request_ids)
    while rows.count() < len(request_ids) and time.monotonic() < give_up_at:
        give_back_connection()
        time.sleep(0.2)
