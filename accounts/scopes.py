"""What limits hold for, from the widest to the narrowest. The words are those of the API."""

from __future__ import annotations

import msgspec

ORGANISATION, MEMBER, KEY, ROUTE, MODEL, NODE = "organisation", "member", "key", "route", "model", "node"
SCOPES = (ORGANISATION, MEMBER, KEY, ROUTE, MODEL, NODE)


class LimitRecord(msgspec.Struct, frozen=True):
    """A row of limits. `also` are further subjects that share it: the keys that replaced a key."""

    scope: str
    subject: str
    label: str = ""
    rpm: int | None = None
    rpd: int | None = None
    tpm: int | None = None
    tpd: int | None = None
    concurrency: int | None = None
    also: tuple[str, ...] = ()
