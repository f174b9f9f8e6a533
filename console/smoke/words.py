"""The sentences of a report, in the reader's language, and the whole as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console import figures
from console.models import SmokeRun
from console.smoke import report
from console.smoke.report import CheckReport, Step, reports_of


@dataclass(frozen=True, slots=True)
class Described:
    """A check as its button says it. `code` is its name in the list of requirements."""

    name: str
    title: Promise
    text: Promise
    icon: str


DESCRIBED: tuple[Described, ...] = (
    Described(
        report.ANSWERS,
        gettext_lazy("An answer from each route"),
        gettext_lazy("Asks every route once and wants a 200 from each."),
        "circle-check",
    ),
    Described(
        report.OUTAGE,
        gettext_lazy("An error in the first provider"),
        gettext_lazy("Lets whoever answers count as down for a moment, and sees another one answer."),
        "unplug",
    ),
    Described(
        report.COSTS,
        gettext_lazy("The cost of one prompt"),
        gettext_lazy("Asks every route the same, compares the cost, and finds it in the usage report, exactly."),
        "scale",
    ),
    Described(
        report.CACHE,
        gettext_lazy("A cache policy"),
        gettext_lazy("Adds a policy for its own key, sees the second identical prompt cost nothing, takes it back."),
        "database-zap",
    ),
    Described(
        report.LIMITS,
        gettext_lazy("Limits and quotas"),
        gettext_lazy("Sets a small limit and a small quota on its own key and sees both kept, with their scope."),
        "gauge",
    ),
)

VERDICTS: dict[str, Promise] = {
    report.PASSED: gettext_lazy("passed"),
    report.FAILED: gettext_lazy("failed"),
    report.SKIPPED: gettext_lazy("nothing to check"),
    report.RUNNING: gettext_lazy("running"),
}
TONES = {report.PASSED: "ok", report.FAILED: "bad", report.SKIPPED: "warn", report.RUNNING: "info"}

STEPS: dict[str, Promise] = {
    "key_made": gettext_lazy("Made a key of its own that lives %(minutes)s minutes"),
    "answered": gettext_lazy("“%(model)s” answered with 200, by %(target)s"),
    "not_answered": gettext_lazy("“%(model)s” answered with %(status)s, %(code)s. %(message)s"),
    "nothing_to_call": gettext_lazy("There is no route and no model to call yet. Add a provider or a machine first."),
    "no_second_target": gettext_lazy(
        "No route has a second target to turn to. Give a route another one, then run this again."
    ),
    "drill_is_on": gettext_lazy(
        "No route has a second target to turn to while an outage drill runs."
        " Wait until it is over, then run this again."
    ),
    "drill_begun": gettext_lazy("“%(target)s” counts as down for this organisation, for %(seconds)s seconds at most"),
    "rerouted": gettext_lazy("“%(model)s” was answered by %(target)s instead (%(passed_by)s)"),
    "not_rerouted": gettext_lazy("“%(model)s” was not re-routed: %(status)s, %(code)s"),
    "drill_ended": gettext_lazy("“%(target)s” is back before its time"),
    "back_again": gettext_lazy("“%(target)s” may answer again; this time it was %(answered)s"),
    "not_back": gettext_lazy("“%(target)s” is not back in the routes yet"),
    "cost": gettext_lazy("“%(model)s” cost %(cost)s, answered by %(target)s"),
    "compared": gettext_lazy("Cheapest: “%(model)s” with %(cost)s. Dearest: “%(dearest)s” with %(most_cost)s"),
    "in_report": gettext_lazy(
        "The usage report has %(requests)s of %(asked)s requests and %(cost)s, as the answers said"
    ),
    "not_in_report": gettext_lazy(
        "The usage report has %(requests)s of %(asked)s requests and %(cost)s; the answers said %(said)s"
    ),
    "policy_added": gettext_lazy("Added a cache policy for its own key, for %(seconds)s seconds"),
    "cache_miss": gettext_lazy("First time: %(cache)s, %(cost)s, by %(target)s"),
    "cache_hit": gettext_lazy("The same again, written in another way: %(cache)s, %(cost)s, saved %(saved)s"),
    "cache_hit_streamed": gettext_lazy("The same as a stream: %(cache)s, %(cost)s, saved %(saved)s"),
    "policy_removed": gettext_lazy("Took the policy back"),
    "as_before": gettext_lazy("“%(model)s” is asked as before"),
    "not_as_before": gettext_lazy("“%(model)s” is not asked as before"),
    "limit_set": gettext_lazy("Limited its own key to %(limit)s requests per minute"),
    "rate_limited": gettext_lazy(
        "%(passed)s of %(limit)s allowed passed; then %(status)s, %(code)s, scope: %(scope)s"
    ),
    "quota_set": gettext_lazy("Gave its own key a quota of %(limit)s token per day"),
    "budget_set": gettext_lazy("Gave its own key a budget of %(limit)s token per day"),
    "budget_kept": gettext_lazy("It was refused: %(status)s, %(code)s, scope: %(scope)s"),
    "quota_used_up": gettext_lazy("The next one was refused: %(status)s, %(code)s, scope: %(scope)s"),
    "limits_lifted": gettext_lazy("Lifted the limits"),
    "taken_back": gettext_lazy("Took back all that it had made"),
    "not_taken_back": gettext_lazy("%(things)s things are still there; they are taken back within minutes"),
    "refused": gettext_lazy("Refused: %(message)s"),
    "broke_off": gettext_lazy("Broke off: an error of our own, which the server's log tells"),
    "out_of_time": gettext_lazy("Stopped: the run took longer than %(seconds)s seconds"),
}


def say(step: Step) -> str:
    facts = {name: "–" if fact is None else fact for name, fact in step.facts.items()}
    money = {name.removesuffix("_nanos"): figures.usd_exact(int(facts[name])) for name in facts if _is_money(name)}
    return str(STEPS[step.name]) % (facts | money)


def title_of(check: str) -> str:
    return str(next(each.title for each in DESCRIBED if each.name == check))


def markdown(run: SmokeRun) -> Iterator[str]:
    """Lines of a document that stands on its own."""
    yield f"# {_('Smoke test')}: {VERDICTS[run.verdict]}"
    yield ""
    yield f"- {_('Organisation')}: {run.org.name}"
    yield f"- {_('When')}: {run.created_at:%Y-%m-%d %H:%M:%S} UTC, {run.actor_label}"
    yield f"- `{run.public_id}`"
    for check in reports_of(run.report):
        yield from _section(check)


def _section(check: CheckReport) -> Iterator[str]:
    yield ""
    yield f"## {title_of(check.check)}: {VERDICTS[check.verdict]} ({figures.duration(check.ms)})"
    yield ""
    for step in check.steps:
        mark = "x" if step.ok else " "
        yield f"- [{mark}] {say(step)} ({figures.duration(step.ms)})"


def _is_money(name: str) -> bool:
    return name.endswith("_nanos")
