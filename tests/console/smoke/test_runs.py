"""Who may run it, one at a time, and what becomes of runs that died."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.audit import Actor
from accounts.errors import InvalidField, NotPermitted
from accounts.keys import active_keys, create_key
from accounts.models import AuditEvent
from console.models import SmokeRun
from console.smoke import runs
from console.smoke.report import CHECKS, FAILED, Step
from console.smoke.runs import SmokeRunning, begin, sweep
from console.smoke.undoing import DRILL, KEY
from console.smoke.words import DESCRIBED, STEPS, say
from console.tasks import sweep_smoke_runs
from routing.drills import running_drills, start_drill
from tests.console.pages.conftest import connect

pytestmark = pytest.mark.django_db


def silent(run: SmokeRun) -> None:
    SmokeRun.objects.filter(pk=run.pk).update(updated_at=timezone.now() - timedelta(minutes=5))


def test_without_names_all_five_are_run_in_their_order(acme, as_alice):
    assert begin(acme, as_alice).checks == [*CHECKS]


def test_names_are_put_in_order_and_looked_at(acme, as_alice):
    with pytest.raises(InvalidField):
        begin(acme, as_alice, ["limits", "weather"])
    assert begin(acme, as_alice, ["limits", "answers"]).checks == ["answers", "limits"]


def test_one_runs_at_a_time_in_each_organisation(acme, as_alice, rival, as_mallory):
    begin(acme, as_alice)
    with pytest.raises(SmokeRunning):
        begin(acme, as_alice)
    assert begin(rival, as_mallory).checks


@pytest.mark.parametrize("who", ["as_bob", "as_carol"])
def test_who_may_not_manage_routes_and_limits_begins_none(acme, who, request):
    with pytest.raises(NotPermitted):
        begin(acme, request.getfixturevalue(who))
    assert not SmokeRun.objects.of(acme).exists()


def test_a_run_that_died_is_ended_and_taken_back(acme, as_alice):
    connect(acme, as_alice)
    run = begin(acme, as_alice, ["outage"])
    drill = start_drill(acme, as_alice, "aurora", 60)
    key = create_key(acme, as_alice, name="Smoke test", scopes=["inference"], created_by=None).key
    SmokeRun.objects.filter(pk=run.pk).update(undo=[[KEY, key.public_id], [DRILL, drill.public_id]])
    sweep_smoke_runs()
    assert running_drills(acme).exists(), "it may be alive"
    silent(run)
    sweep_smoke_runs()
    run.refresh_from_db()
    assert (run.verdict, run.is_over, run.undo) == (FAILED, True, [])
    assert not running_drills(acme).exists()
    assert not active_keys(acme).filter(pk=key.pk).exists()
    assert AuditEvent.objects.of(acme).filter(action="smoke.ended", actor_type="system").exists()


def test_the_next_run_does_not_wait_for_the_task(acme, as_alice):
    silent(begin(acme, as_alice))
    assert begin(acme, as_alice, ["answers"]).checks == ["answers"]


def test_what_is_gone_already_counts_as_taken_back(acme, as_alice):
    run = begin(acme, as_alice)
    SmokeRun.objects.filter(pk=run.pk).update(undo=[[DRILL, "drill_gone"]])
    silent(run)
    assert sweep() == 1
    assert SmokeRun.objects.get(pk=run.pk).undo == []


def test_the_rights_of_who_began_may_be_gone_when_it_is_taken_back(acme, as_alice, as_bob):
    connect(acme, as_alice)
    run = begin(acme, as_alice, ["outage"])
    run.undo = [[DRILL, start_drill(acme, as_alice, "aurora", 60).public_id]]
    assert runs.undo_all(run, as_bob) == 0
    assert not running_drills(acme).exists()


def test_only_the_last_reports_are_kept(acme, as_alice, monkeypatch):
    monkeypatch.setattr(runs, "KEPT", 2)
    for _ in range(4):
        SmokeRun.objects.filter(ended_at=None).update(ended_at=timezone.now())
        begin(acme, as_alice)
    assert SmokeRun.objects.of(acme).count() == 3


def test_begin_and_end_are_audited(acme, as_alice):
    run = begin(acme, as_alice, ["answers"])
    runs.carry_out(run, as_alice)
    begun, ended = AuditEvent.objects.of(acme).filter(object_id=run.public_id).order_by("sequence")
    assert (begun.action, begun.after) == ("smoke.begun", {"checks": ["answers"], "route": ""})
    assert (ended.action, ended.after["checks"]) == ("smoke.ended", {"answers": "skipped"})


def test_every_check_is_described_and_every_step_has_words():
    assert [each.name for each in DESCRIBED] == [*CHECKS] == [*runs.CHECKS]
    facts = dict.fromkeys(
        (
            *("minutes", "model", "target", "status", "code", "message", "seconds", "passed_by", "answered", "cache"),
            *("dearest", "requests", "asked", "limit", "passed", "scope", "things"),
        ),
        "x",
    ) | dict.fromkeys(("cost_nanos", "most_cost_nanos", "said_nanos", "saved_nanos"), 1)
    for name in STEPS:
        assert "%(" not in say(Step(name, True, 1, facts))


def test_the_system_may_run_it_for_everybody(acme):
    assert begin(acme, Actor.system("smoke test")).actor_label == "smoke test"
