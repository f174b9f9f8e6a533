"""Vendors' keys at rest: sealed with the key ring and bound to the row, its owner and its origin.

A key that is moved to another row, organisation or address does not open: `aad` is
`providers_connectionkey|<public id>|<organisation or platform>|<origin>`.
"""

from __future__ import annotations

from functools import cache

from django.conf import settings

from common.secrets import KeyRing
from providers.drafts import origin_of
from providers.models import Connection, ConnectionKey


@cache
def keyring() -> KeyRing:
    return KeyRing.parse(settings.KEYRING)


def seal_key(row: ConnectionKey, connection: Connection, key: str) -> bytes:
    return keyring().seal(key.encode(), _aad(row, connection))


def open_key(row: ConnectionKey, connection: Connection) -> str:
    """
    Raises:
        SecretsError: sealed with a key that the ring lacks, or for another row, owner or origin.
    """
    return keyring().open(bytes(row.sealed), _aad(row, connection)).decode()


def _aad(row: ConnectionKey, connection: Connection) -> str:
    owner = "platform" if row.org_id is None else str(row.org_id)
    return "|".join(("providers_connectionkey", row.public_id, owner, origin_of(connection.base_url)))


def needs_rotation(row: ConnectionKey) -> bool:
    """Whether another key than the ring's newest sealed it. Raises: SecretsError: it is no sealed secret at all."""
    return keyring().needs_rotation(bytes(row.sealed))
