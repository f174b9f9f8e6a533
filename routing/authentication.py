"""Who makes a request of `/v1`: its API key, from memory, or after one look-up at its first use."""

from __future__ import annotations

from accounts.authentication import Caller, KeyRecord, authenticate
from routing.asgi import GatewayRequest
from routing.snapshots import Snapshots


class _NotInMemory(Exception):
    def __init__(self, public_id: str) -> None:
        self.public_id = public_id


async def caller_of(request: GatewayRequest, snapshots: Snapshots) -> Caller:
    """The caller behind the request's key.

    Raises:
        ShareAIError: 401 or 403 as the key deserves; 503 when a key cannot be looked up now.
    """

    def find(public_id: str) -> KeyRecord | None:
        record = snapshots.find_key(public_id)
        if record is None:
            raise _NotInMemory(public_id)
        return record

    try:
        record = authenticate(request.header, request.address, find)
    except _NotInMemory as missing:
        await snapshots.learn_key(missing.public_id)
        record = authenticate(request.header, request.address, snapshots.find_key)
    return Caller.of(record)
