"""Prompts and answers that are kept: read, exported, purged, expired. Whoever reads is in the audit trail."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import orjson
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Count, Min, QuerySet, Sum
from django.utils import timezone

from accounts.audit import Actor, record
from accounts.authority import require
from accounts.changes import changing
from accounts.models import Organization
from accounts.roles import Permission
from common.secrets import KeyRing, SecretsError
from metering.content_log import place_of
from metering.models import Content
from metering.transcripts import Transcript, unpacked

DELETED_AT_ONCE = 5000
READ_AT_ONCE = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """One request's content, opened."""

    request_id: str
    started_at: datetime
    transcript: Transcript


@dataclass(frozen=True, slots=True)
class Stock:
    requests: int
    size_bytes: int
    oldest_at: datetime | None


@cache
def keyring() -> KeyRing:
    return KeyRing.parse(settings.KEYRING)


def is_kept(organization: Organization, request_id: str) -> bool:
    return Content.objects.of(organization).filter(request_id=request_id).exists()


def stock_of(organization: Organization) -> Stock:
    rows = Content.objects.of(organization)
    found = rows.aggregate(requests=Count("pk"), size_bytes=Sum("size_bytes"), oldest_at=Min("started_at"))
    return Stock(found["requests"], int(found["size_bytes"] or 0), found["oldest_at"])


def read(organization: Organization, actor: Actor, request_id: str) -> Kept | None:
    """None when it is not kept, or cannot be opened any more. Raises: NotPermitted."""
    with transaction.atomic():
        require(organization, actor, Permission.VIEW_CONTENT)
        row = Content.objects.of(organization).filter(request_id=request_id).first()
        if row is None:
            return None
        record(organization, actor, "content.read", "request", request_id, label=request_id)
    return opened(row)


def read_all(organization: Organization, actor: Actor, rows: Sequence[Content]) -> list[Kept]:
    """These rows, opened. Raises: NotPermitted."""
    with transaction.atomic():
        require(organization, actor, Permission.VIEW_CONTENT)
        if rows:
            said = {"requests": [row.request_id for row in rows]}
            record(organization, actor, "content.read", "request", "list", label=organization.name, after=said)
    return [kept for row in rows if (kept := opened(row)) is not None]


def latest_of(organization: Organization, actor: Actor, prompts: Iterable[int]) -> dict[int, Kept]:
    """What these prompts say, by their fingerprint: of each the latest that is kept. Raises: NotPermitted."""
    wanted = [*prompts]
    rows = Content.objects.of(organization).filter(prompt_hash__in=wanted)
    latest = [*rows.order_by("prompt_hash", "-started_at").distinct("prompt_hash")]
    by_request = {row.request_id: row.prompt_hash for row in latest}
    return {by_request[kept.request_id]: kept for kept in read_all(organization, actor, latest)}


def export(organization: Organization, actor: Actor, from_: datetime | None, to: datetime | None) -> Iterator[Kept]:
    """All that is kept of [from_, to), oldest first; opened while it is read. Raises: NotPermitted."""
    rows = Content.objects.of(organization)
    rows = rows.filter(started_at__gte=from_) if from_ else rows
    rows = rows.filter(started_at__lt=to) if to else rows
    with transaction.atomic():
        require(organization, actor, Permission.VIEW_CONTENT)
        said = {"from": from_ and from_.isoformat(), "to": to and to.isoformat(), "requests": rows.count()}
        record(organization, actor, "content.exported", "request", "all", label=organization.name, after=said)
    return (kept for row in _by_age(rows) if (kept := opened(row)) is not None)


def as_line(kept: Kept) -> str:
    """One line of an export."""
    said = kept.transcript
    return orjson.dumps(shown(kept) | {"is_cut": said.is_cut}).decode() + "\n"


def shown(kept: Kept) -> dict[str, Any]:
    """In the shape of exports and of the management API: JSON where it is whole, text where it had to be cut."""
    said = kept.transcript
    return {
        "id": kept.request_id,
        "started_at": kept.started_at.isoformat(),
        "status": said.status,
        "streamed": said.streamed,
        "request": json_or_text(said.prompt),
        "response": json_or_text(said.answer),
    }


def json_or_text(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def purge(organization: Organization, actor: Actor) -> int:
    """Deletes all of it now, and what is still under way too. Raises: NotPermitted, OrganizationGone."""
    with changing(organization) as held:
        require(held, actor, Permission.MANAGE_ORGANIZATION)
        held.content_purged_at = timezone.now()
        held.save(update_fields=["content_purged_at"])
        deleted, _ = Content.objects.of(held).delete()
        said = {"requests": deleted}
        record(held, actor, "content.purged", "organization", held.public_id, label=held.name, before=said)
    return deleted


def expire(now: datetime | None = None) -> int:
    """Deletes what is older than its organisation keeps contents, or logs. Returns how many."""
    now = now or timezone.now()
    deleted = 0
    keeping = Organization.objects.filter(pk__in=Content.objects.values("org_id").distinct())
    for org_id, content_days, log_days in keeping.values_list("pk", "content_days", "retention_days"):
        try:
            deleted += _expire_before(org_id, now - timedelta(days=min(content_days, log_days)))
        except DatabaseError:
            logger.exception("the old contents of organisation %s stay for now", org_id)
    return deleted


def reseal(batch: int = 100) -> tuple[int, int]:
    """Seals what is kept with the newest key. Returns how many were sealed anew, and how many cannot be opened."""
    resealed = unreadable = last = 0
    while rows := [*Content.objects.filter(pk__gt=last).order_by("pk")[:batch]]:
        last = rows[-1].pk
        for row in rows:
            try:
                resealed += _seal_anew(row)
            except SecretsError:
                unreadable += 1
    return resealed, unreadable


def _seal_anew(row: Content) -> int:
    """How many rows that changed: 0 where it is sealed with the newest key, or gone. Raises: SecretsError."""
    if not keyring().needs_rotation(bytes(row.sealed)):
        return 0
    place = place_of(row.org_id, row.request_id)
    sealed = keyring().seal(keyring().open(bytes(row.sealed), place), place)
    return Content.objects.filter(pk=row.pk).update(sealed=sealed)


def opened(row: Content) -> Kept | None:
    try:
        plain = keyring().open(bytes(row.sealed), place_of(row.org_id, row.request_id))
    except SecretsError:
        logger.exception("the content of request %s cannot be opened", row.request_id)
        return None
    return Kept(row.request_id, row.started_at, unpacked(plain))


def _by_age(rows: QuerySet[Content]) -> Iterator[Content]:
    """In steps of their own: an export of hours holds no transaction open."""
    mark: tuple[datetime, int] | None = None
    while True:
        ordered = rows.order_by("started_at", "pk")
        page = (
            ordered
            if mark is None
            else ordered.filter(started_at__gte=mark[0]).exclude(started_at=mark[0], pk__lte=mark[1])
        )
        found = [*page[:READ_AT_ONCE]]
        if not found:
            return
        yield from found
        mark = (found[-1].started_at, found[-1].pk)


def _expire_before(org_id: int, horizon: datetime) -> int:
    deleted = 0
    while True:
        old = Content.objects.filter(org_id=org_id, started_at__lt=horizon).values("pk")[:DELETED_AT_ONCE]
        gone, _ = Content.objects.filter(pk__in=[row["pk"] for row in old]).delete()
        deleted += gone
        if gone < DELETED_AT_ONCE:
            return deleted
