"""The audit trail: who did what to which object, chained per organisation so that a gap or an edit shows.

`record` runs in the transaction of the change itself. The organisation's row is locked by the version bump
that goes with every change, so the sequence has no gaps and the chain needs no later sealing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.utils import timezone

from accounts.models import ApiKey, AuditEvent, Organization, User
from common.ids import new_id

GENESIS = bytes(32)
_MASK = "••••"
_SECRET_WORDS = ("secret", "password", "token", "api_key", "sealed", "authorization")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a signed-in person, an API key, or the system itself."""

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


def masked(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The same mapping with everything that may be a secret blotted out, at any depth."""
    if values is None:
        return None
    return {name: _masked_value(name, value) for name, value in values.items()}


def _masked_value(name: str, value: Any) -> Any:
    if any(word in name.lower() for word in _SECRET_WORDS):
        return _MASK if value else value
    if isinstance(value, Mapping):
        return masked(value)
    return value


def record(
    organization: Organization,
    actor: Actor,
    action: str,
    object_type: str,
    object_id: str,
    *,
    label: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Appends one event. Call inside `transaction.atomic`; `action` reads like `api_key.created`."""
    Organization.objects.select_for_update().only("pk").get(pk=organization.pk)
    last = AuditEvent.objects.filter(org=organization).order_by("-sequence").first()
    event = AuditEvent(
        org=organization,
        public_id=new_id("evt"),
        sequence=last.sequence + 1 if last else 1,
        at=timezone.now(),
        actor_type=actor.type,
        actor_id=actor.id,
        actor_label=actor.label,
        action=action,
        object_type=object_type,
        object_id=object_id,
        object_label=label[:254],
        before=masked(before),
        after=masked(after),
        ip=actor.ip,
        user_agent=actor.user_agent,
        previous_digest=bytes(last.digest) if last else GENESIS,
    )
    event.digest = digest(event)
    event.save(force_insert=True)
    return event


def digest(event: AuditEvent) -> bytes:
    """SHA-256 over the previous digest and the canonical JSON of everything the event says."""
    said = {
        "org": event.org_id,
        "sequence": event.sequence,
        "at": event.at.isoformat(),
        "actor": [event.actor_type, event.actor_id, event.actor_label, event.ip, event.user_agent],
        "action": event.action,
        "object": [event.object_type, event.object_id, event.object_label],
        "before": event.before,
        "after": event.after,
    }
    canonical = orjson.dumps(said, option=orjson.OPT_SORT_KEYS, default=_plain)
    return hashlib.sha256(bytes(event.previous_digest) + canonical).digest()


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
