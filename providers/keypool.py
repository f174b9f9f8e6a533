"""The keys of a connection: added, removed, parked when the vendor refuses them, and back again."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.audit import Actor
from accounts.audit_values import differences
from accounts.database import giving_back
from common.ids import new_id
from common.secrets import Secret, SecretsError
from providers import alerts, changes, drafts
from providers.breakers import announce_change
from providers.errors import InvalidConnection
from providers.models import Alert, Connection, ConnectionKey
from providers.sealing import open_key, seal_key

logger = logging.getLogger(__name__)

REFUSED = "refused upstream"
"""The reason that the gateway gives; keys parked for it are tried again (see `providers.recovery`)."""

NEEDS_KEY = "needs_key"
"""Set in a connection's options when its keys were cleared for it: it must not be called without one."""


def add_key(connection: Connection, actor: Actor, key: str, *, label: str = "", weight: int = 1) -> ConnectionKey:
    with changes.changing(connection.org, actor):
        held = Connection.objects.get(pk=connection.pk)
        [row] = store_keys(held, [key], label=label, weight=weight)
        changes.record(held, actor, "connection.key_added", after=changes.said_of_key(row))
    return row


def store_keys(
    connection: Connection, keys: Iterable[str], *, label: str = "", weight: int = 1
) -> list[ConnectionKey]:
    """Seals and saves. For use inside `changing`; the caller writes the audit event."""
    cleaned = drafts.clean_keys(keys)
    if not cleaned:
        raise InvalidConnection("api_keys", _("Enter a key."))
    if connection.keys.count() + len(cleaned) > drafts.MOST_KEYS:
        raise InvalidConnection("api_keys", _("Use at most %(most)d keys.") % {"most": drafts.MOST_KEYS})
    if opened_keys(connection) & set(cleaned):
        raise InvalidConnection("api_keys", _("This key is stored here already."))
    rows = ConnectionKey.objects.bulk_create(_sealed(connection, key, label, weight) for key in cleaned)
    if connection.options.pop(NEEDS_KEY, None):
        connection.save(update_fields=["options", "updated_at"])
    return rows


def opened_keys(connection: Connection) -> set[str]:
    """What can be opened of the stored keys; a key that the ring cannot open is as good as not there."""
    opened = set()
    for row in connection.keys.all():
        try:
            opened.add(open_key(row, connection))
        except SecretsError:
            logger.warning("key %s of connection %s cannot be opened", row.public_id, connection.public_id)
    return opened


def _sealed(connection: Connection, key: str, label: str, weight: int) -> ConnectionKey:
    row = ConnectionKey(
        org=connection.org,
        public_id=new_id("ckey"),
        connection=connection,
        label=label.strip()[:60],
        hint=Secret(key).hint(),
        origin=drafts.origin_of(connection.base_url),
        weight=weight,
    )
    row.sealed = seal_key(row, connection, key)
    return row


def remove_key(key: ConnectionKey, actor: Actor) -> None:
    connection = key.connection
    with changes.changing(connection.org, actor):
        said = changes.said_of_key(key)
        gone, _rows = ConnectionKey.objects.filter(pk=key.pk).delete()
        if gone:
            alerts.resolve_alerts(connection, Alert.KEY_PARKED, subject=key.public_id)
            changes.record(connection, actor, "connection.key_removed", before=said)


def clear_keys(connection: Connection) -> int:
    """Forgets all keys of a connection whose origin changes. For use inside `changing`, which saves it as well."""
    for public_id in connection.keys.values_list("public_id", flat=True):
        alerts.resolve_alerts(connection, Alert.KEY_PARKED, subject=public_id)
    cleared, _rows = connection.keys.all().delete()
    if cleared:
        connection.options[NEEDS_KEY] = True
    return cleared


def park_key(key: ConnectionKey, actor: Actor, reason: str) -> bool:
    """Takes the key out of use until somebody, or a later proof, brings it back.

    Returns:
        False when it was parked already, by whoever came first.
    """
    return _move(key, actor, ConnectionKey.ACTIVE, ConnectionKey.PARKED, reason)


def unpark_key(key: ConnectionKey, actor: Actor) -> bool:
    return _move(key, actor, ConnectionKey.PARKED, ConnectionKey.ACTIVE, "")


@giving_back
def park_refused_key(public_id: str) -> bool:
    """For the data plane, which calls it in a thread of its own after a 401 or 403.

    Fails: open; the process that saw the refusal skips the key for a while in any case.
    """
    try:
        key = ConnectionKey.objects.select_related("connection__org").filter(public_id=public_id).first()
        return key is not None and park_key(key, Actor.system("gateway"), REFUSED)
    except DatabaseError:
        logger.exception("could not park key %s", public_id)
        return False


def _move(key: ConnectionKey, actor: Actor, source: str, destination: str, reason: str) -> bool:
    with changes.changing(key.connection.org, actor):
        before, now = changes.said_of_key(key), timezone.now()
        is_refused = destination == ConnectionKey.PARKED and reason == REFUSED
        moved = ConnectionKey.objects.filter(pk=key.pk, state=source).update(
            state=destination,
            state_reason=reason[:200],
            state_changed_at=now,
            retries=0,
            retry_at=now + first_retry() if is_refused else None,
        )
        if moved:
            key.refresh_from_db()
            was, after = differences(before, changes.said_of_key(key))
            action = "connection.key_parked" if destination == ConnectionKey.PARKED else "connection.key_unparked"
            changes.record(key.connection, actor, action, before={"key": key.public_id, **was}, after=after)
            _tell(key, is_refused=is_refused)
    return bool(moved)


def first_retry() -> timedelta:
    """How long after its refusal a key is tried again for the first time."""
    return timedelta(seconds=settings.PROBE_INTERVAL_S)


def _tell(key: ConnectionKey, *, is_refused: bool) -> None:
    """An alert is for what nobody did on purpose."""
    if is_refused:
        alerts.raise_alert(key.connection, Alert.KEY_PARKED, subject=key.public_id, label=str(key))
    else:
        alerts.resolve_alerts(key.connection, Alert.KEY_PARKED, subject=key.public_id)
    announce_change()
