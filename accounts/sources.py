"""What the data plane reads of this room. Plain synchronous queries, to be called off the event loop."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import msgspec
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from accounts.authentication import KeyRecord
from accounts.models import ApiKey, Entitlement, Limit, Organization
from accounts.scopes import KEY, MODEL, NODE, ROUTE, BudgetRecord, LimitRecord

TOLD_FOR = timedelta(days=30)
"""So long after its end a key is answered "revoked" or "expired", later merely "invalid"."""
EPHEMERAL_TOLD_FOR = timedelta(hours=1)


class OrgRecord(msgspec.Struct, frozen=True):
    """An organisation's settings as the data plane holds them."""

    id: int
    public_id: str
    slug: str
    version: int
    default_strategy: str
    log_content: bool
    retention_days: int
    time_zone: str
    uses_community_nodes: bool
    spending_order: str
    credit_backup: bool
    credit_backup_unlike: tuple[str, ...]
    entitlements: dict[str, Any]


def load_limits(org_id: int) -> list[LimitRecord]:
    limits = list(Limit.objects.filter(org_id=org_id).prefetch_related("budgets"))
    of_keys = any(limit.scope == KEY for limit in limits)
    lines = key_lines(org_id) if of_keys else {}
    return [_limit_record(limit, lines) for limit in limits]


def key_lines(org_id: int) -> dict[int, list[int]]:
    """Of each key that was replaced and replaces none: the ids of those that came after it."""
    replaced = dict(
        ApiKey.objects.filter(org_id=org_id, replaces__isnull=False).order_by("pk").values_list("pk", "replaces_id")
    )
    lines: dict[int, list[int]] = {}
    for key_id in replaced:
        first = key_id
        while first in replaced:
            first = replaced[first]
        lines.setdefault(first, []).append(key_id)
    return lines


def load_keys(org_id: int) -> list[KeyRecord]:
    """The organisation's keys, those that ended lately too; none of a deleted organisation."""
    now = timezone.now()
    ended_before = Q(revoked_at__lt=now - TOLD_FOR) | Q(expires_at__lt=now - TOLD_FOR)
    gone = ended_before | Q(is_ephemeral=True, expires_at__lt=now - EPHEMERAL_TOLD_FOR)
    keys = (
        ApiKey.objects.filter(org_id=org_id, org__deleted_at=None).exclude(gone).select_related("created_by", "org")
    )
    return [key_record(key) for key in keys.iterator(chunk_size=1000)]


def find_key_orgs(public_ids: Collection[str]) -> dict[str, int]:
    """The organisation of each that is a key; not of an unknown one, or of a deleted organisation's."""
    keys = ApiKey.objects.filter(public_id__in=public_ids, org__deleted_at=None)
    return dict(keys.values_list("public_id", "org_id"))


def find_key(public_id: str) -> KeyRecord | None:
    """A key as it is stored this moment, None for an unknown key or a deleted organisation."""
    key = find_key_row(public_id)
    return key_record(key) if key else None


def find_key_row(public_id: str) -> ApiKey | None:
    """The same as a row, with its organisation."""
    keys = ApiKey.objects.filter(public_id=public_id, org__deleted_at=None)
    return keys.select_related("created_by", "org").first()


def load_versions(org_ids: Collection[int]) -> dict[int, int]:
    """The version of each; a deleted organisation still has one, which grew when it was deleted."""
    return dict(Organization.objects.filter(pk__in=org_ids).values_list("pk", "version"))


def load_organization(org_id: int) -> OrgRecord | None:
    """None when it is deleted or never was.

    The version is read before everything else that a snapshot holds: what changes in between is then loaded twice
    rather than missed.
    """
    found = Organization.objects.filter(pk=org_id, deleted_at=None).first()
    if found is None:
        return None
    entitlements = dict(Entitlement.objects.of(found).values_list("name", "value"))
    return OrgRecord(
        id=found.pk,
        public_id=found.public_id,
        slug=found.slug,
        version=found.version,
        default_strategy=found.default_strategy,
        log_content=found.log_content,
        retention_days=found.retention_days,
        time_zone=found.time_zone,
        uses_community_nodes=found.uses_community_nodes,
        spending_order=found.spending_order,
        credit_backup=found.credit_backup,
        credit_backup_unlike=tuple(found.credit_backup_unlike),
        entitlements=entitlements,
    )


def touch_last_used(pairs: Iterable[tuple[int, float]]) -> None:
    """Notes when keys were last used: (key id, Unix time). One statement; never moves a time back."""
    seen = list(pairs)
    if not seen:
        return
    ids = [key_id for key_id, _ in seen]
    times = [datetime.fromtimestamp(at_s, UTC) for _, at_s in seen]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE accounts_apikey AS k SET last_used_at = used.at
            FROM (
                SELECT id, max(at) AS at FROM unnest(%s::bigint[], %s::timestamptz[]) AS u (id, at) GROUP BY id
            ) AS used
            WHERE k.id = used.id AND (k.last_used_at IS NULL OR k.last_used_at < used.at)
            """,
            [ids, times],
        )


def _limit_record(limit: Limit, lines: Mapping[int, list[int]]) -> LimitRecord:
    is_key, is_named = limit.scope == KEY, limit.scope in (ROUTE, MODEL, NODE)
    return LimitRecord(
        scope=limit.scope,
        subject=limit.subject,
        label=limit.subject if is_named else "",
        rpm=limit.rpm,
        rpd=limit.rpd,
        tpm=limit.tpm,
        tpd=limit.tpd,
        concurrency=limit.concurrency,
        budgets=tuple(BudgetRecord(row.unit, row.window, row.amount) for row in limit.budgets.all()),
        when_reached=limit.when_reached,
        also=tuple(map(str, lines.get(int(limit.subject), ()))) if is_key else (),
    )


def key_record(key: ApiKey) -> KeyRecord:
    return KeyRecord(
        id=key.pk,
        public_id=key.public_id,
        secret_hash=bytes(key.secret_hash),
        org_id=key.org_id,
        user_id=key.created_by_id,
        name=key.name,
        scopes=frozenset(key.scopes),
        allowed_models=None if key.allowed_models is None else frozenset(key.allowed_models),
        ip_networks=tuple(ip_network(entry) for entry in key.ip_allow),
        expires_at_s=key.expires_at.timestamp() if key.expires_at else None,
        revoked_at_s=key.revoked_at.timestamp() if key.revoked_at else None,
        is_ephemeral=key.is_ephemeral,
        member=key.created_by.email if key.created_by else "",
        tags=tuple(key.tags),
        logs_content=key.org.log_content and key.logs_content,
    )
