"""S41: whoever answers is down for a moment, for this organisation alone, and another one answers."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from console.smoke.answers import READY
from console.smoke.asking import Answer
from console.smoke.bench import Bench, Ended, Skipped
from console.smoke.subjects import subjects
from console.smoke.undoing import DRILL, undo_one
from routing.drills import running_drills, start_drill
from routing.snapshots import OrgSnapshot
from routing.tester import snapshot_now

LASTS_S = 60


def check_outage(bench: Bench) -> None:
    model, before = _with_a_second(bench)
    down = _place_to_fail(snapshot_now(bench.organization), before)
    began = perf_counter()
    with bench.making() as made:
        drill = start_drill(bench.organization, bench.actor, down, LASTS_S)
        made(DRILL, drill.public_id)
    bench.step("drill_begun", began, target=down, seconds=LASTS_S)
    _see_the_others(bench, model, down)
    began = perf_counter()
    ended = undo_one(bench.run, bench.actor, DRILL, drill.public_id)
    bench.require("drill_ended", began, ended, target=down)
    began = perf_counter()
    after = bench.until(
        lambda: bench.ask(model, READY, traced=True), lambda answer: any(map(_at(down), answer.candidates))
    )
    back = after.ok and any(map(_at(down), after.candidates))
    bench.step("back_again" if back else "not_back", began, ok=back, target=down, answered=after.target)


def _with_a_second(bench: Bench) -> tuple[str, Answer]:
    """A route that has somebody else to turn to, and its answer while nothing is wrong."""
    refused = False
    for subject in subjects(bench, chat_only=True):
        answer = bench.ask(subject.name, READY, traced=True)
        if answer.ok and len(answer.candidates) > 1:
            bench.heard(answer, subject.name)
            return subject.name, answer
        if not answer.ok:
            refused = True
            bench.heard(answer, subject.name)
    if refused:
        raise Ended
    is_drilled = running_drills(bench.organization).exists()
    raise Skipped("drill_is_on" if is_drilled else "no_second_target", model=bench.run.route)


def _place_to_fail(snapshot: OrgSnapshot, answer: Answer) -> str:
    """The provider or machine that answered; if nobody else serves the route, only its target."""
    slugs = {name: target.connection_slug for name, target in snapshot.by_name.items()}
    place = slugs.get(answer.target, answer.target)
    others = {slugs.get(name, name) for name in answer.candidates} - {place}
    return place if others else answer.target


def _see_the_others(bench: Bench, model: str, down: str) -> None:
    began, at = perf_counter(), _at(down)
    during = bench.until(
        lambda: bench.ask(model, READY, traced=True), lambda answer: answer.ok and not at(answer.target)
    )
    fits = during.ok and not at(during.target)
    reasons = ", ".join(dict.fromkeys(f"{name}: {reason}" for name, reason in during.rejected if at(name)))
    if fits:
        bench.step("rerouted", began, model=model, target=during.target, passed_by=reasons or down)
    else:
        bench.step(
            "not_rerouted", began, ok=False, model=model, status=during.status, code=during.code or during.target
        )


def _at(place: str) -> Callable[[str], bool]:
    """Whether a target is what counts as down, or is served there."""
    return lambda name: name == place or name.startswith(f"{place}/")
