"""Outage drills: a target counts as down for one organisation, for a while, to see what its routes do then.

Nothing is sent to anybody. A drill ends by itself: every process knows the time at which it does.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit import Actor, record
from accounts.authority import authority_of
from accounts.changes import changing
from accounts.errors import InvalidField
from accounts.models import Organization
from accounts.roles import Permission
from common.ids import new_id
from providers.targets import Target
from routing.models import Drill
from routing.tester import targets_now

LEAST_S, LONGEST_S = 1, 3600


def start_drill(organization: Organization, actor: Actor, target: str, seconds: int) -> Drill:
    """From now on, for so long, this target serves nobody of this organisation.

    Args:
        target: a target's name, or that of a provider or machine for all that it serves.

    Raises:
        NotPermitted: the actor may not manage routes.
        InvalidField: no such target, or too short or long.
    """
    if isinstance(seconds, bool) or not LEAST_S <= seconds <= LONGEST_S:
        bounds = {"least": LEAST_S, "most": LONGEST_S}
        raise InvalidField.one("seconds", _("Choose between %(least)d and %(most)d seconds.") % bounds)
    with changing(organization):
        authority_of(organization, actor).require(Permission.MANAGE_ROUTES)
        if target not in names_to_drill(targets_now(organization).values()):
            raise InvalidField.one("target", _("There is no target “%(name)s”.") % {"name": target})
        now = timezone.now()
        drill = Drill.objects.create(
            org=organization,
            public_id=new_id("drill"),
            target=target,
            created_at=now,
            until=now + timedelta(seconds=seconds),
            actor_label=actor.label[:254],
        )
        after = {"target": target, "seconds": seconds}
        record(organization, actor, "drill.started", "drill", drill.public_id, label=target, after=after)
    return drill


def end_drill(drill: Drill, actor: Actor) -> None:
    """Ends it before its time; nothing happens to one that is over."""
    organization = drill.org
    with changing(organization):
        authority_of(organization, actor).require(Permission.MANAGE_ROUTES)
        now = timezone.now()
        if Drill.objects.of(organization).filter(pk=drill.pk, until__gt=now).update(until=now):
            before = {"target": drill.target, "until": drill.until.isoformat()}
            record(organization, actor, "drill.ended", "drill", drill.public_id, label=drill.target, before=before)


def running_drills(organization: Organization) -> QuerySet[Drill]:
    return Drill.objects.of(organization).filter(until__gt=timezone.now()).order_by("until")


def names_to_drill(targets: Collection[Target]) -> list[str]:
    """Providers and machines first, then single targets."""
    return [*sorted({target.connection_slug for target in targets}), *sorted(target.name for target in targets)]
