"""From the headers of a request to the key that it was made with. Pure, and on the path of every `/v1` request.

The one extractor: `Authorization: Bearer`, `x-api-key` and `api-key` mean the same. The secret is compared before
anything else about the key is told, so only its holder learns that it is expired, revoked or bound to addresses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hmac import compare_digest
from ipaddress import IPv4Network, IPv6Network, ip_address

import msgspec

from accounts import apikeys
from common.errors import (
    InvalidApiKey,
    InvalidRequest,
    IpNotAllowed,
    KeyExpired,
    KeyRevoked,
    MissingApiKey,
    PermissionRefused,
)

INFERENCE, MANAGE = "inference", "manage"
SCOPES = (INFERENCE, MANAGE)

GetHeader = Callable[[str], str | None]


class KeyRecord(msgspec.Struct, frozen=True, gc=False):
    """An API key as the data plane holds it. `allowed_models` None allows all, empty `ip_networks` any address."""

    id: int
    public_id: str
    secret_hash: bytes
    org_id: int
    user_id: int | None
    name: str
    scopes: frozenset[str]
    allowed_models: frozenset[str] | None = None
    ip_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    expires_at_s: float | None = None
    revoked_at_s: float | None = None
    is_ephemeral: bool = False
    member: str = ""
    """The e-mail address of whose it is, "" for the organisation's own."""
    tags: tuple[str, ...] = ()
    logs_content: bool = False
    """Whether what is asked and answered with it is kept: its organisation does so, and the key does not object."""

    def __repr__(self) -> str:
        return f"KeyRecord({self.public_id})"


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who calls: the organisation and the key, with what the key may do."""

    org_id: int
    key_id: int
    key_public_id: str
    user_id: int | None
    scopes: frozenset[str]
    allowed_models: frozenset[str] | None
    logs_content: bool = False

    @classmethod
    def of(cls, record: KeyRecord) -> Caller:
        return cls(
            record.org_id,
            record.id,
            record.public_id,
            record.user_id,
            record.scopes,
            record.allowed_models,
            record.logs_content,
        )

    def require_scope(self, scope: str) -> None:
        if scope not in self.scopes:
            raise PermissionRefused(f"This key lacks the scope '{scope}'.", metadata={"scope": scope})


def authenticate(
    header: GetHeader,
    client_ip: str,
    find_record: Callable[[str], KeyRecord | None],
    now_s: float | None = None,
) -> KeyRecord:
    """The record of the key that the request carries.

    Args:
        header: the value of a header by its lower-case name, None when absent.
        client_ip: the caller's address, after trusted proxies; looked at only by keys bound to addresses.
        find_record: from the key's public id; may raise when it cannot know.
        now_s: Unix time, for tests.

    Raises:
        InvalidRequest: two different credentials.
        MissingApiKey, InvalidApiKey, KeyExpired, KeyRevoked: 401.
        IpNotAllowed: 403.

    Fails: closed; an address that cannot be read is not allowed.
    """
    parts = apikeys.parse(credential(header))
    record = find_record(parts.public_id) if parts else None
    if parts is None or record is None or not compare_digest(parts.secret_hash, record.secret_hash):
        raise InvalidApiKey
    if record.revoked_at_s is not None:
        raise KeyRevoked
    if record.expires_at_s is not None and record.expires_at_s <= (time.time() if now_s is None else now_s):
        raise KeyExpired
    if record.ip_networks and not _is_inside(client_ip, record.ip_networks):
        raise IpNotAllowed
    return record


def credential(header: GetHeader) -> str:
    """The credential of a request. Raises: MissingApiKey, InvalidRequest for two different ones."""
    bearer, x_api_key, api_key = _bearer(header("authorization")), header("x-api-key"), header("api-key")
    found = bearer or x_api_key or api_key
    if not found:
        raise MissingApiKey
    if (x_api_key and x_api_key != found) or (api_key and api_key != found):
        raise InvalidRequest("The request carries two different credentials; send one.", param="authorization")
    return found


def _bearer(authorization: str | None) -> str | None:
    if not authorization:
        return None
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _is_inside(client_ip: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        address = ip_address(client_ip)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)
