"""The audit trail: who did what to which object, chained per organisation so that a gap or an edit shows.

`record` runs in the transaction of the change itself. The organisation's row, locked meanwhile, holds the length and
the last digest of its chain: the sequence has no gaps, and a chain cut off at its end no longer fits. What staff do
that is no organisation's goes into the operator's own trail, which is chained in the same way; it is meant wherever
None stands for the organisation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any

import orjson
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.audit_values import storable
from accounts.models import ApiKey, AuditEvent, Noted, OperatorEvent, OperatorTrail, Organization, User
from common.ids import new_id

GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a signed-in person, an API key, the system itself, or a visitor of whom nobody knows who it is."""

    type: str
    id: str
    label: str
    ip: str | None = None
    user_agent: str = ""

    @classmethod
    def of_user(cls, user: User, ip: str | None = None, user_agent: str = "") -> Actor:
        return cls("user", str(user.pk), user.email, ip, user_agent[:300])

    @classmethod
    def of_key(cls, key: ApiKey, ip: str | None = None, user_agent: str = "") -> Actor:
        return cls("key", key.public_id, key.name, ip, user_agent[:300])

    @classmethod
    def system(cls, label: str = "system") -> Actor:
        return cls("system", label, label)


@dataclass(frozen=True, slots=True)
class Breach:
    """The first event that does not fit, and why: "gap", "edited", "moved" or "cut off"."""

    sequence: int
    reason: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """`head` is the last digest: noted elsewhere, it proves later that the chain up to it was not rewritten."""

    events: int
    head: bytes
    breach: Breach | None

    @property
    def ok(self) -> bool:
        return self.breach is None


def record(
    organization: Organization | None,
    actor: Actor,
    action: str,
    object_type: str,
    object_id: str,
    *,
    label: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> Noted:
    """Appends one event. Call inside `transaction.atomic`; `action` reads like `api_key.created`."""
    chains = _chain(organization)
    chain = chains.select_for_update(no_key=True).get()
    event: Noted = OperatorEvent() if organization is None else AuditEvent(org=organization)
    said = {
        "public_id": new_id("evt"),
        "sequence": chain.audit_length + 1,
        "at": timezone.now(),
        "actor_type": actor.type,
        "actor_id": actor.id,
        "actor_label": storable(actor.label[:254]),
        "action": action,
        "object_type": object_type,
        "object_id": object_id,
        "object_label": storable(label[:254]),
        "before": storable(before),
        "after": storable(after),
        "ip": _canonical_ip(actor.ip),
        "user_agent": storable(actor.user_agent),
        "previous_digest": bytes(chain.audit_head),
    }
    for name, value in said.items():
        setattr(event, name, value)
    event.digest = digest(event)
    event.save(force_insert=True)
    chains.update(audit_length=event.sequence, audit_head=event.digest)
    return event


def digest(event: Noted) -> bytes:
    """SHA-256 over the previous digest and the canonical JSON of everything the event says."""
    said = {
        "org": event.org_id if isinstance(event, AuditEvent) else None,
        "id": event.public_id,
        "sequence": event.sequence,
        "at": event.at.isoformat(),
        "actor": [
            event.actor_type,
            event.actor_id,
            event.actor_label,
            _canonical_ip(event.ip),
            event.user_agent,
        ],
        "action": event.action,
        "object": [event.object_type, event.object_id, event.object_label],
        "before": event.before,
        "after": event.after,
    }
    canonical = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(bytes(event.previous_digest) + canonical).digest()


def events_of(organization: Organization | None) -> QuerySet[Any]:
    return OperatorEvent.objects.all() if organization is None else AuditEvent.objects.of(organization)


def matching(
    organization: Organization | None,
    *,
    words: str = "",
    object_type: str = "",
    since: datetime | None = None,
    before: datetime | None = None,
) -> QuerySet[Any]:
    """Events of a trail, the newest first. Args: words: of who did it, what was done, or what to."""
    found = events_of(organization).order_by("-sequence")
    if object_type:
        found = found.filter(object_type=object_type)
    if words:
        found = found.filter(
            Q(actor_label__icontains=words) | Q(object_label__icontains=words) | Q(action__icontains=words)
        )
    if since is not None:
        found = found.filter(at__gte=since)
    return found if before is None else found.filter(at__lt=before)


def verify(organization: Organization | None) -> VerifyReport:
    """Recomputes the chain of a trail. Events that are written meanwhile are left for the next time."""
    chain = _chain(organization).get()
    head, sequence = GENESIS, 0
    events = events_of(organization).filter(sequence__lte=chain.audit_length)
    for event in events.order_by("sequence").iterator(chunk_size=1000):
        reason = _misfit(event, sequence, head)
        if reason:
            return VerifyReport(sequence, head, Breach(sequence + 1, reason))
        head, sequence = bytes(event.digest), event.sequence
    complete = sequence == chain.audit_length and head == bytes(chain.audit_head)
    return VerifyReport(sequence, head, None if complete else Breach(sequence + 1, "cut off"))


def _misfit(event: Noted, previous_sequence: int, previous_digest: bytes) -> str:
    if event.sequence != previous_sequence + 1:
        return "gap"
    if bytes(event.digest) != digest(event):
        return "edited"
    return "" if bytes(event.previous_digest) == previous_digest else "moved"


def _chain(organization: Organization | None) -> QuerySet[Any]:
    """The row that holds its length and its last digest."""
    if organization is not None:
        return Organization.objects.only("audit_length", "audit_head").filter(pk=organization.pk)
    OperatorTrail.objects.get_or_create(pk=1)
    return OperatorTrail.objects.filter(pk=1)


def _canonical_ip(text: str | None) -> str | None:
    """One spelling per address, for PostgreSQL returns another than it was given; what is none becomes None."""
    try:
        address = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)
