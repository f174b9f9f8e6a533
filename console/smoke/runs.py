"""Beginning a run, carrying it out, and taking back what a run that was killed has left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit import Actor, record
from accounts.authority import authority_of
from accounts.changes import locked
from accounts.database import giving_back
from accounts.errors import Conflict, InvalidField
from accounts.models import Organization
from accounts.roles import Permission
from accounts.tenancy import TenantQuerySet
from common.errors import CodedError
from common.ids import new_id
from console.models import SmokeRun
from console.smoke import report
from console.smoke.answers import check_answers, check_costs
from console.smoke.bench import Bench, Ended, Skipped
from console.smoke.caching import check_cache
from console.smoke.limiting import check_limits
from console.smoke.outage import check_outage
from console.smoke.report import FAILED, RUNNING, Step, reports_of, verdict_of
from console.smoke.undoing import undo_all

CHECKS: dict[str, Callable[[Bench], None]] = {
    report.ANSWERS: check_answers,
    report.OUTAGE: check_outage,
    report.COSTS: check_costs,
    report.CACHE: check_cache,
    report.LIMITS: check_limits,
}
SILENT_FOR = timedelta(minutes=3)
"""A step lasts a minute at most: a run that has said nothing for so long has died."""
LONGEST_PROMPT = 4000
KEPT = 50

logger = logging.getLogger(__name__)


class SmokeRunning(Conflict):
    CODE = "smoke_test_running"

    def __init__(self) -> None:
        super().__init__(_("A smoke test is running already. Wait until it is over."))


def begin(
    organization: Organization, actor: Actor, checks: Iterable[str] = (), route: str = "", prompt: str = ""
) -> SmokeRun:
    """A run that nobody has carried out yet; without `checks` of all five.

    Args:
        route: of the checks that need one only; without it they look for one themselves.
        prompt: whose cost is compared.

    Raises:
        NotPermitted: the actor may not manage routes and limits.
        InvalidField, SmokeRunning.
    """
    wanted = [name for name in report.CHECKS if name in {*checks}] if checks else list(report.CHECKS)
    if unknown := {*checks} - {*report.CHECKS}:
        raise InvalidField.one("checks", _("There is no check “%(name)s”.") % {"name": min(unknown)})
    if len(prompt) > LONGEST_PROMPT:
        raise InvalidField.one("prompt", _("Use at most %(most)d characters.") % {"most": LONGEST_PROMPT})
    sweep(SmokeRun.objects.of(organization))
    try:
        with transaction.atomic():
            return _insert(organization, actor, wanted, route.strip(), prompt.strip())
    except IntegrityError as error:
        raise SmokeRunning from error


def _insert(organization: Organization, actor: Actor, checks: list[str], route: str, prompt: str) -> SmokeRun:
    held = locked(organization.pk)
    rights = authority_of(held, actor)
    rights.require(Permission.MANAGE_ROUTES)
    rights.require(Permission.MANAGE_LIMITS)
    run = SmokeRun.objects.create(
        org=held,
        public_id=new_id("smoke"),
        checks=checks,
        route=route[:260],
        prompt=prompt,
        actor_type=actor.type,
        actor_id=actor.id,
        actor_label=actor.label[:254],
        actor_ip=actor.ip,
    )
    _forget_the_oldest(held)
    record(held, actor, "smoke.begun", "smoke_run", run.public_id, after={"checks": checks, "route": route})
    return run


def _forget_the_oldest(organization: Organization) -> None:
    over = SmokeRun.objects.of(organization).filter(ended_at__isnull=False, undo=[])
    old = over.order_by("-created_at").values_list("pk", flat=True)[KEPT:]
    over.filter(pk__in=list(old)).delete()


def carry_out_soon(run: SmokeRun, actor: Actor) -> None:
    """In a thread of this process, once what made the run is committed."""
    thread = threading.Thread(target=giving_back(carry_out), args=(run, actor), name=run.public_id, daemon=True)
    transaction.on_commit(thread.start)


def carry_out(run: SmokeRun, actor: Actor, heard: Callable[[str, Step], None] = lambda check, step: None) -> SmokeRun:
    """Every check, one after the other. What each made is taken back before the next begins."""
    bench = Bench(run, actor, heard)
    try:
        for check in run.checks:
            _carry_out_one(bench, check)
    finally:
        _end(run, actor)
    return run


def _carry_out_one(bench: Bench, check: str) -> None:
    bench.begin(check)
    complete = False
    try:
        _check(bench, check)
        complete = True
    finally:
        bench.end(complete)


def _check(bench: Bench, check: str) -> None:
    try:
        CHECKS[check](bench)
    except Skipped as reason:
        bench.skip(reason)
    except Ended:
        return
    except CodedError as refusal:
        bench.refused(refusal)


def _end(run: SmokeRun, actor: Actor) -> None:
    """Checks that never began or never ended did not pass."""
    run.report = [each if each["verdict"] != RUNNING else {**each, "verdict": FAILED} for each in run.report]
    reports = reports_of(run.report)
    complete = [each.check for each in reports] == run.checks
    run.verdict = verdict_of(reports) if complete else FAILED
    run.ended_at = timezone.now()
    with transaction.atomic():
        run.save(update_fields=["report", "verdict", "ended_at", "updated_at"])
        after = {"verdict": run.verdict, "checks": {each.check: each.verdict for each in reports}}
        record(run.org, actor, "smoke.ended", "smoke_run", run.public_id, after=after)


def sweep(runs: TenantQuerySet[SmokeRun] | None = None) -> int:
    """Ends runs that died and takes back what they left, and what could not be taken back before.

    Returns:
        How many there were.
    """
    runs = SmokeRun.objects.all() if runs is None else runs
    silent = runs.select_related("org").filter(updated_at__lt=timezone.now() - SILENT_FOR)
    actor, swept = Actor.system("smoke test"), 0
    for run in silent.filter(ended_at=None) | silent.exclude(undo=[]):
        undo_all(run, actor)
        if not run.is_over:
            _end(run, actor)
        swept += 1
    return swept
