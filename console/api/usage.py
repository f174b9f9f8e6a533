"""`/usage`: sums of requests, tokens and money, as JSON or CSV."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import InvalidField
from accounts.models import ApiKey, Membership, Organization
from accounts.roles import Permission
from console.api.fields import Kind, Query, Shown
from console.api.frame import ResourceView
from console.api.openapi import described
from console.usage_shape import FIGURES, csv_answer, said
from metering.reports import Narrowed, usage_report

DIMENSIONS = ("model", "route", "target", "node", "key", "member", "day", "hour")
EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
MOST_ROWS = 50_000
_LAST_WEEK = timedelta(days=7)


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


def span_in(attrs: dict[str, Any]) -> dict[str, Any]:
    """With both ends: the last week, where nothing is said."""
    to = attrs.get("to") or timezone.now()
    from_ = attrs.get("from") or to - _LAST_WEEK
    if from_ >= to:
        raise serializers.ValidationError({"to": ["It must be later than `from`."]})
    return {**attrs, "from": from_, "to": to}


class Name(serializers.CharField):
    """Of something that requests are told apart by; "" for those without one."""

    def __init__(self, help_text: str) -> None:
        super().__init__(required=False, allow_blank=True, trim_whitespace=False, max_length=260, help_text=help_text)


class SpanQuery(Query):
    """A time, and which of its requests."""

    from_ = Moment(required=False, help_text="The first moment; a week before `to` when left out.")
    to = Moment(required=False, help_text="The first moment after it; now when left out.")
    model = Name("Only of this model, as it was asked for.")
    route = Name("Only of this route.")
    target = Name("Only what this target answered.")
    node = Name("Only what this machine answered, by its short name.")
    key = Name("Only of the key of this id.")
    member = Name("Only of the member of this id.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return span_in(attrs)


class UsageQuery(SpanQuery):
    group_by = Dimensions(default=list, help_text=f"With commas between: {', '.join(DIMENSIONS)}.")
    time_zone = serializers.CharField(default="UTC", max_length=60, help_text="Whose days are meant by `day`.")
    format = serializers.ChoiceField(["json", "csv"], default="json")

    def validate_time_zone(self, name: str) -> str:
        if name not in available_timezones():
            raise serializers.ValidationError("Unknown time zone.")
        return name


class FiguresShown(Shown):
    requests = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]
    tokens = serializers.IntegerField(help_text="Input and output together.")
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(help_text="A part of the input.")
    output_tokens = serializers.IntegerField()
    cache_hits = serializers.IntegerField(help_text="Answered from memory.")
    cost_usd = serializers.CharField(help_text="By the prices when it was served. Money is exact, as a string.")
    spend_usd = serializers.CharField(help_text="What it came to: the next three together.")
    charged_usd = serializers.CharField(help_text="Taken from the credits, as the ledger says; corrections included.")
    tokens_usd = serializers.CharField(help_text="Paid with what own machines had earned, instead of credits.")
    own_usd = serializers.CharField(help_text="At the organisation's own providers and machines, by their prices.")
    saved_usd = serializers.CharField(help_text="What the cache saved.")
    ttft_ms = serializers.FloatField(allow_null=True, help_text="The average time to the first token.")
    ttft_p50_ms = serializers.FloatField(allow_null=True, help_text="Its median, within a fifth.")
    duration_ms = serializers.FloatField(allow_null=True, help_text="The average time of a request.")
    duration_p50_ms = serializers.FloatField(allow_null=True, help_text="Its median, within a fifth.")
    duration_p99_ms = serializers.FloatField(allow_null=True, help_text="All but one in a hundred took less.")


class UsageRowShown(FiguresShown):
    model = serializers.CharField(required=False)
    route = serializers.CharField(required=False, allow_blank=True)
    target = serializers.CharField(required=False, allow_blank=True)
    node = serializers.CharField(required=False, allow_blank=True)
    member = serializers.CharField(required=False, allow_null=True)
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
        narrowed = narrowed_by(self.organization, query)
        rows = summed(self.organization, span, groups, query["time_zone"], narrowed)
        if query["format"] == "csv":
            return csv_answer([*groups, *FIGURES], rows, f"usage-{span[0]:%Y%m%d}-{span[1]:%Y%m%d}.csv")
        (total,) = summed(self.organization, span, [], "UTC", narrowed)
        envelope = {"object": "list", "data": rows, "has_more": False, "next_cursor": None}
        return Response({**envelope, "from": span[0], "to": span[1], "total": total})


def summed(
    organization: Organization, span: tuple[datetime, datetime], groups: list[Any], zone: str, narrowed: Narrowed
) -> list[dict[str, Any]]:
    found = usage_report(organization, *span, groups, zone, narrowed)
    if len(found) > MOST_ROWS:
        message = f"That would be {len(found)} rows, and {MOST_ROWS} is the most: choose fewer groups or less time."
        raise InvalidField.one("group_by", message)
    return [*said(organization, found, groups, zone)]


def narrowed_by(organization: Organization, query: dict[str, Any]) -> Narrowed:
    """A key or member that is not there, or another organisation's, leaves nothing."""
    key, member = query.get("key"), query.get("member")
    keys = ApiKey.objects.of(organization).filter(public_id=key).values_list("pk", flat=True)
    users = Membership.objects.of(organization).filter(public_id=member).values_list("user_id", flat=True)
    return Narrowed(
        model=query.get("model"),
        route=query.get("route"),
        target=query.get("target"),
        node=query.get("node"),
        key_id=None if key is None else keys.first() or -1,
        user_id=None if member is None else users.first() or -1,
    )
