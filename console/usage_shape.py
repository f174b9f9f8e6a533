"""Sums of usage as the API and the files of Activity say them: the same names and digits, in JSON and in CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django.http import StreamingHttpResponse

from accounts.models import ApiKey, Membership, Organization
from common.cells import csv_line
from common.money import usd_from_nanos
from common.numbers import plain
from metering.reports import UsageRow

_TIMES = ("ttft_ms", "ttft_p50_ms", "duration_ms", "duration_p50_ms", "duration_p99_ms")
COUNTS = ("requests", "errors", "tokens", "input_tokens", "cached_tokens", "output_tokens", "cache_hits")
MONEY = ("cost_usd", "spend_usd", "charged_usd", "tokens_usd", "own_usd", "saved_usd")
FIGURES = (*COUNTS, *MONEY, *_TIMES)


def said(
    organization: Organization, rows: Sequence[UsageRow], groups: Sequence[str], zone: str
) -> Iterator[dict[str, Any]]:
    """Each row by name: its groups, keys and members by their public ids, then its figures."""
    keys = _key_ids(organization, rows) if "key" in groups else {}
    members = _member_ids(organization, rows) if "member" in groups else {}
    place = ZoneInfo(zone)
    for row in rows:
        yield {name: _group(name, row, keys, members, place) for name in groups} | figures_of(row)


def figures_of(row: UsageRow) -> dict[str, Any]:
    times = {name: getattr(row, name) for name in _TIMES}
    return {
        "requests": row.requests,
        "errors": row.errors,
        "tokens": row.tokens,
        "input_tokens": row.input_tokens,
        "cached_tokens": row.cached_tokens,
        "output_tokens": row.output_tokens,
        "cache_hits": row.hits,
        "cost_usd": _usd(row.cost_nanos),
        "spend_usd": _usd(row.spend_nanos),
        "charged_usd": _usd(row.charged_nanos),
        "tokens_usd": _usd(row.tokens_nanos),
        "own_usd": _usd(row.own_nanos),
        "saved_usd": _usd(row.saved_nanos),
        **{name: None if time is None else round(time, 1) for name, time in times.items()},
    }


def csv_answer(names: Sequence[str], rows: Iterable[Mapping[str, Any]], file_name: str) -> StreamingHttpResponse:
    return _file(csv_lines(names, rows), "text/csv; charset=utf-8", file_name)


def json_answer(rows: Iterable[Mapping[str, Any]], file_name: str) -> StreamingHttpResponse:
    return _file(json_lines(rows), "application/json", file_name)


def csv_lines(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The first line names the columns."""
    yield csv_line(names)
    for row in rows:
        yield csv_line(row[name] for name in names)


def json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One array, a row a line."""
    before = "[\n"
    for row in rows:
        yield before + json.dumps(row, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _file(lines: Iterable[str], content_type: str, file_name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


def _usd(nanos: int) -> str:
    return plain(usd_from_nanos(nanos))


def _key_ids(organization: Organization, rows: Iterable[UsageRow]) -> dict[int, str]:
    ids = {row.key_id for row in rows if row.key_id}
    return dict(ApiKey.objects.of(organization).filter(pk__in=ids).values_list("pk", "public_id"))


def _member_ids(organization: Organization, rows: Iterable[UsageRow]) -> dict[int, str]:
    ids = {row.user_id for row in rows if row.user_id}
    return dict(Membership.objects.of(organization).filter(user__in=ids).values_list("user_id", "public_id"))


def _group(
    name: str, row: UsageRow, keys: Mapping[int, str], members: Mapping[int, str], zone: ZoneInfo
) -> str | None:
    if name == "key":
        return keys.get(row.key_id) if row.key_id else None
    if name == "member":
        return members.get(row.user_id) if row.user_id else None
    if name in ("day", "hour"):
        assert row.starts_at is not None  # the report is grouped by it
        return row.starts_at.astimezone(zone).date().isoformat() if name == "day" else row.starts_at.isoformat()
    return str(getattr(row, name))
