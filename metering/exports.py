"""Exports of single requests: written piece by piece, kept for a day, read back as a stream.

A piece and the place it ends at are committed together. So whoever goes on, after a crash or beside another worker,
goes on where the last piece ended, and no request is in the file twice or missing. Small ones are written at once;
large ones by workers, each for a while, then the next.
"""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.errors import InvalidField
from accounts.models import ApiKey, Membership, Organization
from common.cells import csv_line
from common.ids import new_id
from common.money import usd_text
from metering.export_models import ExportPiece, UsageExport
from metering.reports import NODE, Narrowed, usage_report

logger = logging.getLogger(__name__)

KEPT = timedelta(days=1)
MOST_OPEN = 3
MOST_KEPT = 20
AT_ONCE = 10_000
"""Rows of a piece, and of what is written while the one who asks waits."""
LEFT_ALONE_S = 90
"""After so long without a piece another worker goes on."""
MOST_FAILURES = 5
"""In a row; then nobody goes on by itself."""
FORMATS = ("csv", "json")
COLUMNS = (
    "started_at", "request_id", "endpoint", "model", "route", "target", "key", "member", "status", "error_code",
    "stream", "finish_reason", "input_tokens", "cached_tokens", "cache_write_tokens", "audio_input_tokens",
    "output_tokens", "reasoning_tokens", "audio_output_tokens", "usage_source", "billing_reason", "price_version",
    "attempt_count", "duration_ms", "ttft_ms", "cache", "cost_usd", "charged_usd", "tokens_usd",
    "saved_usd",
)  # fmt: skip
_KEY, _MEMBER = COLUMNS.index("key"), COLUMNS.index("member")
_FIRST_MONEY = COLUMNS.index("cost_usd")
_READ = """
SELECT u.started_at, u.request_id, u.endpoint, u.model, u.route, u.target, u.key_id, u.user_id, u.status,
    u.error_code, u.stream, u.finish_reason, u.input_tokens, u.cached_tokens,
    coalesce((u.token_details ->> 'cache_write')::bigint, 0),
    coalesce((u.token_details ->> 'audio_input')::bigint, 0), u.output_tokens,
    coalesce((u.token_details ->> 'reasoning')::bigint, 0),
    coalesce((u.token_details ->> 'audio_output')::bigint, 0), u.usage_source, u.billing_reason, u.price_version,
    u.attempt_count, u.duration_ms, u.ttft_ms, u.cache, u.cost_nanos,
    paid.charged_nanos, paid.tokens_nanos, u.saved_nanos
FROM (
    SELECT * FROM metering_usage
    WHERE org_id = %(org_id)s AND started_at >= %(from)s AND started_at < %(to)s
      AND (started_at, request_id) > (%(after_at)s, %(after_id)s) AND {narrowed}
    ORDER BY started_at, request_id LIMIT %(limit)s
) u CROSS JOIN LATERAL (
    SELECT coalesce(sum(s.paid_nanos - s.tokens_nanos), 0)::bigint AS charged_nanos,
        coalesce(sum(s.tokens_nanos), 0)::bigint AS tokens_nanos
    FROM metering_settled s WHERE s.request_id = u.request_id
) paid
ORDER BY u.started_at, u.request_id
"""


def begin(
    organization: Organization, actor: Actor, from_: datetime, to: datetime, format: str, narrowed: Narrowed
) -> UsageExport:
    """An export of the requests of [from_, to), oldest first; finished already when there are few.

    Raises: InvalidField: too many are under way.
    """
    now = timezone.now()
    with transaction.atomic():
        Organization.objects.select_for_update().get(pk=organization.pk)
        _make_room(organization)
        (row,) = usage_report(organization, from_, to, narrowed=narrowed)
        begun = UsageExport.objects.create(
            org=organization,
            public_id=new_id("exp"),
            actor_label=actor.label,
            format=format,
            begins_at=from_,
            ends_at=to,
            narrowed={name: value for name, value in asdict(narrowed).items() if value is not None},
            total=row.requests,
            expires_at=now + KEPT,
        )
        after = _about(from_, to, format)
        audit.record(organization, actor, "usage_export.created", "usage_export", begun.public_id, after=after)
    if row.requests < AT_ONCE:
        work(begun.pk, for_s=0)
        begun.refresh_from_db()
    return begun


def work(export_id: int, for_s: float) -> bool:
    """Writes pieces for so long, at least one. Returns: whether there is more to write.

    A failure of the database is counted, and raised; after so many in a row the export has failed.
    """
    until_s = time.monotonic() + for_s
    try:
        while _write_piece(export_id):
            if time.monotonic() >= until_s:
                return True
    except DatabaseError:
        _note_failure(export_id)
        raise
    return False


def _note_failure(export_id: int) -> None:
    now_open = UsageExport.objects.filter(pk=export_id, state__in=(UsageExport.WAITING, UsageExport.RUNNING))
    now_open.update(failures=F("failures") + 1)
    if now_open.filter(failures__gte=MOST_FAILURES).update(state=UsageExport.FAILED):
        logger.error("metering: export %s failed %s times and is given up", export_id, MOST_FAILURES)


def retry(export: UsageExport, actor: Actor) -> bool:
    """Goes on where the last piece ended. Returns: whether it had failed.

    Raises: InvalidField: too many are under way.
    """
    with transaction.atomic():
        Organization.objects.select_for_update().get(pk=export.org_id)
        if UsageExport.objects.filter(pk=export.pk, state=UsageExport.FAILED).exists():
            _refuse_a_fourth(export.org)
        now = timezone.now()
        done = UsageExport.objects.filter(pk=export.pk, state=UsageExport.FAILED).update(
            state=UsageExport.RUNNING, failures=0, worked_at=now, expires_at=now + KEPT
        )
        if done:
            after = _about(export.begins_at, export.ends_at, export.format)
            audit.record(export.org, actor, "usage_export.retried", "usage_export", export.public_id, after=after)
    return bool(done)


def left_alone(now: datetime) -> list[int]:
    """Exports that nobody works at."""
    rows = UsageExport.objects.filter(state__in=(UsageExport.WAITING, UsageExport.RUNNING))
    return [*rows.filter(worked_at__lt=now - timedelta(seconds=LEFT_ALONE_S)).values_list("pk", flat=True)]


def expire(now: datetime) -> int:
    """Deletes what is past its day."""
    deleted, _by_model = UsageExport.objects.filter(expires_at__lt=now).delete()
    return deleted


def discard(export: UsageExport, actor: Actor) -> None:
    with transaction.atomic():
        before = _about(export.begins_at, export.ends_at, export.format)
        audit.record(export.org, actor, "usage_export.deleted", "usage_export", export.public_id, before=before)
        export.delete()


def piece(export_id: int, number: int) -> str | None:
    """Of the file; None after the last one."""
    found = ExportPiece.objects.filter(export=export_id, number=number).values_list("lines", flat=True).first()
    return None if found is None else zlib.decompress(bytes(found)).decode()


def _about(from_: datetime, to: datetime, format: str) -> dict[str, str]:
    return {"from": from_.isoformat(), "to": to.isoformat(), "format": format}


def _make_room(organization: Organization) -> None:
    _refuse_a_fourth(organization)
    rows = UsageExport.objects.of(organization)
    kept = rows.order_by("-created_at", "-pk").values_list("pk", flat=True)[: MOST_KEPT - 1]
    rows.exclude(pk__in=[*kept]).delete()


def _refuse_a_fourth(organization: Organization) -> None:
    rows = UsageExport.objects.of(organization)
    if rows.filter(state__in=(UsageExport.WAITING, UsageExport.RUNNING)).count() >= MOST_OPEN:
        raise InvalidField.one("format", _("Three exports are under way already. Wait for one, or delete it."))


def _write_piece(export_id: int) -> bool:
    """One more piece. Returns: whether there may be another; False as well while somebody else writes one."""
    with transaction.atomic():
        export = (
            UsageExport.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("org")
            .filter(pk=export_id, state__in=(UsageExport.WAITING, UsageExport.RUNNING))
            .first()
        )
        if export is None:
            return False
        rows = _rows(export)
        is_last = len(rows) < AT_ONCE
        number = export.pieces.count()
        text = "".join(_lines(export, rows, is_first=number == 0, is_last=is_last))
        packed = zlib.compress(text.encode(), 3)
        ExportPiece.objects.create(org=export.org, export=export, number=number, lines=packed)
        export.done += len(rows)
        export.total = max(export.total, export.done)
        export.size_bytes += len(text.encode())
        export.position = [rows[-1][0].isoformat(), rows[-1][1]] if rows else export.position
        export.state = UsageExport.DONE if is_last else UsageExport.RUNNING
        export.worked_at, export.failures = timezone.now(), 0
        export.save()
    return not is_last


def _rows(export: UsageExport) -> list[tuple[Any, ...]]:
    columns = {"node": NODE}
    narrowed = export.narrowed
    conditions = [f"{_column(name, columns)} = %(only_{name})s" for name in narrowed] or ["true"]
    after_at, after_id = export.position or (export.begins_at, "")
    given = {
        "org_id": export.org_id, "from": export.begins_at, "to": export.ends_at, "after_at": after_at,
        "after_id": after_id, "limit": AT_ONCE, **{f"only_{name}": value for name, value in narrowed.items()},
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_READ.format(narrowed=" AND ".join(conditions)), given)
        return cursor.fetchall()


def _column(name: str, columns: Mapping[str, str]) -> str:
    return f"coalesce({name}, 0)" if name in ("key_id", "user_id") else columns.get(name, name)


def _lines(export: UsageExport, rows: Sequence[tuple[Any, ...]], *, is_first: bool, is_last: bool) -> Iterator[str]:
    keys = dict(
        ApiKey.objects.of(export.org).filter(pk__in={row[_KEY] for row in rows}).values_list("pk", "public_id")
    )
    members = Membership.objects.of(export.org).filter(user__in={row[_MEMBER] for row in rows})
    people = dict(members.values_list("user_id", "public_id"))
    said = (_said(row, keys, people) for row in rows)
    if export.format == "csv":
        if is_first:
            yield csv_line(COLUMNS)
        yield from (csv_line(cells) for cells in said)
        return
    before = "[\n" if is_first else ",\n"
    for cells in said:
        yield before + json.dumps(dict(zip(COLUMNS, cells, strict=True)), ensure_ascii=False)
        before = ",\n"
    if is_last:
        yield "\n]\n" if rows or not is_first else "[]\n"


def _said(row: tuple[Any, ...], keys: Mapping[int, str], people: Mapping[int, str]) -> list[Any]:
    cells = [*row]
    cells[0] = row[0].isoformat()
    cells[_KEY], cells[_MEMBER] = keys.get(row[_KEY]), people.get(row[_MEMBER])
    cells[_FIRST_MONEY:] = [usd_text(nanos) for nanos in row[_FIRST_MONEY:]]
    return cells
