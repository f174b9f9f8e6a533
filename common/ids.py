"""Identifiers: UUIDv7 inside, `<prefix>_<32 hex digits>` outside.

Both sort by the millisecond of their making, which keeps indexes compact. They are names and no secrets: what
must not be guessed is made with `secrets`.
"""

import uuid
from datetime import UTC, datetime

import uuid_utils

_HEX_LENGTH = 32


def new_uuid() -> uuid.UUID:
    """A UUIDv7 of the standard library's type, which database drivers accept."""
    return uuid.UUID(bytes=uuid_utils.uuid7().bytes)


def new_id(prefix: str) -> str:
    """`new_id("node")` → `node_019…`."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"


def new_request_id() -> str:
    return "req_" + uuid_utils.uuid7().hex


def new_key_id() -> str:
    return "key_" + uuid_utils.uuid7().hex


def find_uuid(public_id: str, prefix: str) -> uuid.UUID | None:
    """The UUID inside a public id of this prefix, or None for anything that `new_id` did not make."""
    head, _, digits = public_id.partition("_")
    if head != prefix or len(digits) != _HEX_LENGTH or not set(digits) <= set("0123456789abcdef"):
        return None
    found = uuid.UUID(hex=digits)
    return found if found.version == 7 else None


def made_at(id: uuid.UUID) -> datetime:
    """When a UUIDv7 was made, to the millisecond, in UTC."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
