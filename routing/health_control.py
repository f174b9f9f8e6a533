"""What people do to the health of a target: take it out of use, or forget what was held against it. Audited."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit import Actor, record
from accounts.authority import authority_of
from accounts.changes import changing
from accounts.errors import InvalidField
from accounts.models import Organization
from accounts.roles import Permission
from nodes.models import NodeModel
from providers.alerts import resolve_alerts
from providers.breakers import PERSON, Subject, hold_target, reset_target
from providers.models import Alert, Pulse, ServedModel
from providers.pulses import note_change
from providers.states import states_of
from routing.health_rows import subject_of

LEAST_S, LONGEST_S = 1, 30 * 86_400
Row = ServedModel | NodeModel


def hold_open(
    organization: Organization, actor: Actor, row: Row, *, seconds: int | None = None, note: str = ""
) -> None:
    """From now on nobody is served by this target, for so long or until it is reset. Other than what evidence says,
    this holds for the last target of a call too.

    Args:
        row: of this organisation.

    Raises:
        NotPermitted: the actor may not manage providers, or machines for a machine's model.
        InvalidField: too short or too long.
    """
    if seconds is not None and (isinstance(seconds, bool) or not LEAST_S <= seconds <= LONGEST_S):
        bounds = {"least": LEAST_S, "most": LONGEST_S}
        raise InvalidField.one("seconds", _("Choose between %(least)d and %(most)d seconds.") % bounds)
    subject = subject_of(row)
    with changing(organization):
        authority_of(organization, actor).require(_permission(row))
        before = _said(subject)
        hold_target(subject, actor, seconds, note)
        after = {"state": "held_open", "seconds": seconds} | ({"note": note[:400]} if note else {})
        record(
            organization, actor, "target.held_open", "target", row.public_id,
            label=subject.name, before=before, after=after,
        )  # fmt: skip


def reset(organization: Organization, actor: Actor, row: Row) -> None:
    """Closes the target's breakers, whoever opened them, and asks its connection anew if that counted as down.

    Raises:
        NotPermitted: as `hold_open`.
    """
    subject = subject_of(row)
    with changing(organization):
        authority_of(organization, actor).require(_permission(row))
        before = _said(subject)
        if subject.connection_id:
            _doubt_no_more(subject.connection_id, actor)  # first, as probes lock a pulse before its breakers
        reset_target(subject, actor)
        record(
            organization, actor, "target.reset", "target", row.public_id,
            label=subject.name, before=before, after={"state": "closed"},
        )  # fmt: skip


def _permission(row: Row) -> Permission:
    return Permission.MANAGE_PROVIDERS if isinstance(row, ServedModel) else Permission.MANAGE_NODES


def _said(subject: Subject) -> dict[str, str]:
    return {"state": states_of({subject.target_id: subject.connection_id})[subject.target_id].condition}


def _doubt_no_more(connection_id: int, actor: Actor) -> None:
    pulse = (
        Pulse.objects.select_for_update(of=("self",))
        .select_related("connection")
        .filter(connection=connection_id)
        .first()
    )
    if pulse is None:
        return
    now = timezone.now()
    if pulse.state == Pulse.DOWN:
        Pulse.objects.filter(pk=pulse.pk).update(
            state=Pulse.UNKNOWN, since=now, down_until=None, failures=0, next_at=now, reason="", detail=""
        )
        resolve_alerts(pulse.connection, Alert.DOWN)
        note_change(pulse, Pulse.UNKNOWN, PERSON, actor_label=actor.label)
    else:
        Pulse.objects.filter(pk=pulse.pk).update(next_at=now)
