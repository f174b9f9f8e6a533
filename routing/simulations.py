"""Use cases of simulations: begin one, watch it, cancel it. A Celery worker does the work, batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError as BrokerAway

from accounts.audit import Actor, record
from accounts.authority import authority_of
from accounts.changes import changing
from accounts.errors import InvalidField
from accounts.models import Organization
from accounts.roles import Permission
from common.ids import new_id
from routing.drafts import snapshot_with
from routing.models import RouteDraft, Simulation
from routing.past import Kept, batches, rows_of
from routing.simulation import Evidence, Simulator

logger = logging.getLogger(__name__)

LONGEST_H = 24
MOST_AT_ONCE = 2
MOST_KEPT = 50
GIVEN_UP = timedelta(minutes=15)
"""One that has not ended by then lost its worker."""


def start_simulation(
    draft: RouteDraft, actor: Actor, *, traffic: str | None = None, hours: int = LONGEST_H, run: Callable[[int], Any]
) -> Simulation:
    """Of what the draft says now, on the requests of the last hours.

    Args:
        traffic: the route or model whose requests are taken; "" takes all; None those of the draft's own name.
        run: hands the id of the row to a worker, once it is stored.

    Raises:
        NotPermitted: the actor may not manage routes.
        InvalidField: too many run already, or too many hours.
    """
    organization = draft.org
    if isinstance(hours, bool) or not 1 <= hours <= LONGEST_H:
        raise InvalidField.one("hours", _("Choose between 1 and %(most)d hours.") % {"most": LONGEST_H})
    with changing(organization):
        authority_of(organization, actor).require(Permission.MANAGE_ROUTES)
        _make_room(organization)
        now = timezone.now()
        begun = Simulation.objects.create(
            org=organization,
            public_id=new_id("sim"),
            name=draft.name,
            content=draft.content,
            traffic=draft.name if traffic is None else traffic,
            begins_at=now - timedelta(hours=hours),
            ends_at=now,
            actor_label=actor.label[:254],
        )
        after = {"traffic": begun.traffic, "hours": hours}
        record(organization, actor, "simulation.started", "route", begun.public_id, label=draft.name, after=after)
        transaction.on_commit(lambda: _hand_over(begun.pk, run))
    return begun


def cancel_simulation(simulation: Simulation, actor: Actor) -> None:
    """Its worker stops at the next batch; nothing happens to one that is over."""
    organization = simulation.org
    with changing(organization):
        authority_of(organization, actor).require(Permission.MANAGE_ROUTES)
        if _ended(simulation.pk, Simulation.CANCELLED):
            name = simulation.name
            record(organization, actor, "simulation.cancelled", "route", simulation.public_id, label=name)


def run_simulation(simulation_id: int) -> None:
    """Once: a second worker that gets the same id finds it claimed."""
    claimed = Simulation.objects.filter(pk=simulation_id, state=Simulation.WAITING).update(state=Simulation.RUNNING)
    if not claimed:
        return
    try:
        _simulate(Simulation.objects.select_related("org").get(pk=simulation_id))
    except Exception:
        _ended(simulation_id, Simulation.FAILED)
        raise


def _hand_over(simulation_id: int, run: Callable[[int], Any]) -> None:
    """Without a broker no worker will ever hear of it."""
    try:
        run(simulation_id)
    except BrokerAway as error:
        logger.warning("simulation %s cannot be handed to a worker: %s", simulation_id, error)
        _ended(simulation_id, Simulation.FAILED)


def _simulate(simulation: Simulation) -> None:
    organization = simulation.org
    snapshot = snapshot_with(organization, simulation.name, simulation.content)
    keys = {key.id: key.public_id for key in snapshot.keys.values()}
    rows = rows_of(organization, simulation.traffic, simulation.begins_at, simulation.ends_at)
    if not _goes_on(simulation.pk, total=rows.count(), done=0):
        return
    evidence, kept = Evidence(), Kept()
    for batch in batches(rows, keys):
        for past in batch:
            evidence.note(past)
        kept.keep(batch)
        if not _goes_on(simulation.pk, done=0):
            return
    simulator, done = Simulator(simulation.name, snapshot, evidence), 0
    for batch in kept.again() or batches(rows, keys):
        for past in batch:
            simulator.take(past)
        done += len(batch)
        if not _goes_on(simulation.pk, done=done):
            return
    _ended(simulation.pk, Simulation.DONE, report=msgspec.to_builtins(simulator.report()))


def _goes_on(simulation_id: int, **figures: int) -> bool:
    """Notes the progress; False once somebody has cancelled it."""
    return bool(Simulation.objects.filter(pk=simulation_id, state=Simulation.RUNNING).update(**figures))


def _ended(simulation_id: int, state: str, **fields: Any) -> bool:
    running = Simulation.objects.filter(pk=simulation_id, state__in=(Simulation.WAITING, Simulation.RUNNING))
    return bool(running.update(state=state, ended_at=timezone.now(), **fields))


def _make_room(organization: Organization) -> None:
    """At most so many at once, and so many kept."""
    rows = Simulation.objects.of(organization)
    running = rows.filter(state__in=(Simulation.WAITING, Simulation.RUNNING))
    running.filter(created_at__lt=timezone.now() - GIVEN_UP).update(state=Simulation.FAILED, ended_at=timezone.now())
    if running.count() >= MOST_AT_ONCE:
        raise InvalidField.one("name", _("Two simulations run already. Wait for one, or cancel it."))
    kept = rows.order_by("-created_at").values_list("pk", flat=True)[: MOST_KEPT - 1]
    rows.exclude(pk__in=list(kept)).delete()
