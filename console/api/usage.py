"""`/usage`: sums of requests, tokens and money, as JSON or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import InvalidField
from accounts.models import ApiKey, Organization
from accounts.roles import Permission
from common.money import usd_from_nanos
from console.api.fields import Kind, Query, Shown, plain_usd
from console.api.frame import ResourceView
from console.api.openapi import described
from metering.queries import UsageRow, usage_report

DIMENSIONS = ("model", "route", "target", "key", "day", "hour")
EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
MOST_ROWS = 50_000
_LAST_WEEK = timedelta(days=7)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Moment(serializers.DateTimeField):
    """A time in the years that usage can be from; a date alone is its first moment in UTC."""

    default_error_messages = {"range": "Give a time between 2020 and 2100."}

    def __init__(self, **options: Any) -> None:
        super().__init__(input_formats=["iso-8601", "%Y-%m-%d"], default_timezone=UTC, **options)

    def to_internal_value(self, value: Any) -> datetime:
        moment: datetime = super().to_internal_value(value)
        if not EARLIEST <= moment <= LATEST:
            self.fail("range")
        return moment


class Dimensions(serializers.Field[list[str], str, str, Any]):
    """Names with commas between."""

    CHOICES = DIMENSIONS
    default_error_messages = {
        "unknown": f"Choose from: {', '.join(DIMENSIONS)}.",
        "both": "Group by day or by hour, not by both.",
    }

    def to_internal_value(self, data: Any) -> list[str]:
        names = list(dict.fromkeys(name.strip() for name in str(data).split(",") if name.strip()))
        if not set(names) <= set(DIMENSIONS):
            self.fail("unknown")
        if {"day", "hour"} <= set(names):
            self.fail("both")
        return names


class UsageQuery(Query):
    from_ = Moment(required=False, help_text="The first moment; a week before `to` when left out.")
    to = Moment(required=False, help_text="The first moment after it; now when left out.")
    group_by = Dimensions(default=list, help_text=f"With commas between: {', '.join(DIMENSIONS)}.")
    time_zone = serializers.CharField(default="UTC", max_length=60, help_text="Whose days are meant by `day`.")
    format = serializers.ChoiceField(["json", "csv"], default="json")

    def validate_time_zone(self, name: str) -> str:
        if name not in available_timezones():
            raise serializers.ValidationError("Unknown time zone.")
        return name

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        to = attrs.get("to") or timezone.now()
        from_ = attrs.get("from") or to - _LAST_WEEK
        if from_ >= to:
            raise serializers.ValidationError({"to": ["It must be later than `from`."]})
        return {**attrs, "from": from_, "to": to}


class FiguresShown(Shown):
    requests = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]
    tokens = serializers.IntegerField(help_text="Input and output together.")
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(help_text="A part of the input.")
    output_tokens = serializers.IntegerField()
    cost_usd = serializers.CharField(help_text="Exact, as a string.")
    ttft_ms = serializers.FloatField(allow_null=True, help_text="The average time to the first token.")
    duration_ms = serializers.FloatField(allow_null=True, help_text="The average time of a request.")


class UsageRowShown(FiguresShown):
    model = serializers.CharField(required=False)
    route = serializers.CharField(required=False, allow_blank=True)
    target = serializers.CharField(required=False, allow_blank=True)
    key = serializers.CharField(required=False, allow_null=True)
    day = serializers.DateField(required=False)
    hour = serializers.DateTimeField(required=False)


UsageReportShown = type(
    "UsageReportShown",
    (Shown,),
    {
        "object": Kind("list"),
        "data": UsageRowShown(many=True),
        "has_more": serializers.BooleanField(),
        "next_cursor": serializers.CharField(allow_null=True),
        "from": serializers.DateTimeField(),
        "to": serializers.DateTimeField(),
        "total": FiguresShown(),
    },
)


class UsageView(ResourceView):
    tag = "Usage"
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described(
        "getUsage",
        "Sum up usage",
        query=UsageQuery,
        answer={
            (200, "application/json"): UsageReportShown,
            (200, "text/csv"): OpenApiResponse(str, description="The same rows; the first line names the columns."),
        },
    )
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        """Requests, tokens and cost of [`from`, `to`), exact to the last request, one row per group. The report is
        never cut into pages: `has_more` is always false."""
        query = self.query(UsageQuery)
        groups, span = query["group_by"], (query["from"], query["to"])
        rows = _rows(self.organization, span, groups, query["time_zone"])
        if query["format"] == "csv":
            names = [*groups, *FiguresShown().fields]
            return _as_csv(names, rows, f"usage-{span[0]:%Y%m%d}-{span[1]:%Y%m%d}.csv")
        (total,) = _rows(self.organization, span, [], "UTC")
        envelope = {"object": "list", "data": rows, "has_more": False, "next_cursor": None}
        return Response({**envelope, "from": span[0], "to": span[1], "total": total})


def _rows(
    organization: Organization, span: tuple[datetime, datetime], groups: list[Any], zone: str
) -> list[dict[str, Any]]:
    found = usage_report(organization, *span, groups, zone)
    if len(found) > MOST_ROWS:
        message = f"That would be {len(found)} rows, and {MOST_ROWS} is the most: choose fewer groups or less time."
        raise InvalidField.one("group_by", message)
    keys = _key_names(organization, found) if "key" in groups else {}
    return [{name: _group(name, row, keys, ZoneInfo(zone)) for name in groups} | _figures(row) for row in found]


def _key_names(organization: Organization, rows: Iterable[UsageRow]) -> dict[int, str]:
    ids = {row.key_id for row in rows if row.key_id}
    return dict(ApiKey.objects.of(organization).filter(pk__in=ids).values_list("pk", "public_id"))


def _group(name: str, row: UsageRow, keys: Mapping[int, str], zone: ZoneInfo) -> str | None:
    if name == "key":
        return keys.get(row.key_id) if row.key_id else None
    if name in ("day", "hour"):
        assert row.starts_at is not None  # the report is grouped by it
        begins = row.starts_at
        return begins.astimezone(zone).date().isoformat() if name == "day" else begins.isoformat()
    return str(getattr(row, name))


def _figures(row: UsageRow) -> dict[str, Any]:
    return {
        "requests": row.requests,
        "errors": row.errors,
        "tokens": row.input_tokens + row.output_tokens,
        "input_tokens": row.input_tokens,
        "cached_tokens": row.cached_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": plain_usd(usd_from_nanos(row.cost_nanos)),
        "ttft_ms": None if row.ttft_ms is None else round(row.ttft_ms, 1),
        "duration_ms": None if row.duration_ms is None else round(row.duration_ms, 1),
    }


def _as_csv(names: list[str], rows: list[dict[str, Any]], file_name: str) -> StreamingHttpResponse:
    lines = _csv_lines([names, *([_cell(row[name]) for name in names] for row in rows)])
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


def _csv_lines(rows: Iterable[list[str]]) -> Iterator[str]:
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow(row)
        yield line.getvalue()


def _cell(value: Any) -> str:
    """A spreadsheet would run as a formula what a caller chose to call a model."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
