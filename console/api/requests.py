"""`/requests`: the log, one entry for each request to `/v1`, with its attempts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import InvalidField
from accounts.models import ApiKey, Organization
from accounts.roles import Permission
from common.money import usd_of_millionths
from common.rates import KINDS, Line
from console.api.fields import Kind, PageQuery, Shown, UsdOfNanos
from console.api.frame import ResourceView
from console.api.openapi import described, list_of
from console.api.pages import Page, opened, sealed
from console.api.usage import Moment
from console.bill import Bill, bills_of
from metering.models import Usage
from metering.queries import RequestFilters, get_request, list_requests

STATUS_CLASSES = {"2xx": 2, "4xx": 4, "5xx": 5}
ANY_ERROR = "error"


class TokenDetailsShown(Shown):
    """Tokens that may cost otherwise than the rest; null where there were none."""

    cache_write = serializers.IntegerField(default=0, help_text="Of the input.")
    audio_input = serializers.IntegerField(default=0, help_text="Of the input.")
    reasoning = serializers.IntegerField(default=0, help_text="Of the output.")
    audio_output = serializers.IntegerField(default=0, help_text="Of the output.")


class BillLineShown(Shown):
    kind = serializers.ChoiceField(KINDS)
    tokens = serializers.IntegerField()
    price = UsdOfNanos(source="rate_nanos", help_text="US dollars for a million tokens.")
    cost_usd = serializers.SerializerMethodField(help_text="Exact: only the sum is rounded, to nine decimals.")

    def get_cost_usd(self, line: Line) -> str:
        return usd_of_millionths(line.nanos_times_million)


class BillShown(Shown):
    """What one target is paid, by the version of its price that held."""

    target = serializers.CharField()
    price_version = serializers.IntegerField()
    above_tokens = serializers.IntegerField(help_text="Where the price tier begins that the prompt met; 0: none.")
    lines = BillLineShown(many=True)
    request_usd = UsdOfNanos(source="request_nanos")
    cost_usd = UsdOfNanos(source="nanos")


class AttemptUsageShown(Shown):
    """One target's part, where the request's own figures are sums of several or leave this one out."""

    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    cost_nanos = serializers.IntegerField(help_text="Billionths of a US dollar.")
    usage_source = serializers.CharField(
        help_text="`reported` by the target, `bounded` by the request, or `counted` here."
    )
    price_version = serializers.IntegerField(allow_null=True)
    charged = serializers.BooleanField(help_text="Whether it is part of what the request costs.")
    token_details = TokenDetailsShown(default=None, allow_null=True)


class AttemptShown(Shown):
    target = serializers.CharField()
    outcome = serializers.CharField(help_text="`ok`, or why the gateway went on.")
    status = serializers.IntegerField(allow_null=True)
    started_ms = serializers.IntegerField(help_text="Since the request's start.")
    duration_ms = serializers.IntegerField()
    ttft_ms = serializers.IntegerField(default=None, allow_null=True)
    detail = serializers.CharField(default="", allow_blank=True)
    used = AttemptUsageShown(default=None, allow_null=True)


class RequestShown(Shown):
    object = Kind("request")
    id = serializers.CharField(source="request_id")
    started_at = serializers.DateTimeField()
    endpoint = serializers.CharField()
    model = serializers.CharField(help_text="As it was asked for.")
    route = serializers.CharField(allow_blank=True)
    target = serializers.CharField(allow_blank=True, help_text="Who answered; empty when nobody did.")
    key = serializers.SerializerMethodField()
    status = serializers.IntegerField()
    error_code = serializers.CharField(allow_blank=True)
    stream = serializers.BooleanField()
    finish_reason = serializers.CharField(allow_blank=True)
    tokens = serializers.SerializerMethodField()
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    usage_source = serializers.CharField(
        help_text="`reported` by the provider, `bounded` by the request, `counted` here, or `none`."
    )
    billing_reason = serializers.CharField(help_text="Why it costs what it costs.")
    cost_usd = UsdOfNanos(source="cost_nanos")
    price_version = serializers.IntegerField(allow_null=True)
    duration_ms = serializers.IntegerField()
    ttft_ms = serializers.IntegerField(allow_null=True)
    overhead_us = serializers.IntegerField(allow_null=True)
    sdk_retry = serializers.IntegerField()
    user_agent = serializers.CharField(allow_blank=True)
    metadata = serializers.DictField(child=serializers.CharField(), allow_null=True)
    token_details = TokenDetailsShown(allow_null=True)
    bill = serializers.SerializerMethodField(help_text="What it cost, line by line, for each target that is paid.")
    attempts = AttemptShown(many=True)

    @extend_schema_field(BillShown(many=True))
    def get_bill(self, usage: Usage) -> Any:
        bills: dict[str, list[Bill]] = self.context["bills"]
        return BillShown(bills[usage.request_id], many=True).data

    def get_key(self, usage: Usage) -> str | None:
        keys: dict[int | None, str] = self.context["keys"]
        return keys.get(usage.key_id)

    def get_tokens(self, usage: Usage) -> int:
        return usage.input_tokens + usage.output_tokens


MOST_LOOKED_AT = 50_000
"""Requests that a page passes on its way to rare ones: a tenth of a second."""


class RequestsQuery(PageQuery):
    model = serializers.CharField(required=False, max_length=200)
    route = serializers.CharField(required=False, max_length=200)
    target = serializers.CharField(required=False, max_length=260)
    key = serializers.CharField(required=False, max_length=40, help_text="The id of a key.")
    status = serializers.ChoiceField([*STATUS_CLASSES, ANY_ERROR], required=False)
    error_code = serializers.CharField(required=False, max_length=40)
    stream = serializers.BooleanField(required=False)
    from_ = Moment(required=False)
    to = Moment(required=False)
    min_duration_ms = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)


class RequestsView(ResourceView):
    tag = "Requests"
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described("listRequests", "List requests", **list_of(RequestShown, query=RequestsQuery))
    def get(self, request: Request) -> Response:
        """The newest first. Prompts and answers, where they are kept, are at `/requests/{id}/content`. Where a filter
        leaves few of very many, a page may hold fewer than its limit, or none, although `has_more` is true: it ends
        after 50,000 requests looked at, and `next_cursor` goes on from there."""
        query = self.query(RequestsQuery)
        mark = self.mark()
        cursor = opened(query["cursor"], mark)[0] if "cursor" in query else None
        filters = _filters(self.organization, query)
        found = list_requests(self.organization, filters, cursor, query["limit"], most_looked_at=MOST_LOOKED_AT)
        page = Page(found.requests, sealed([found.next_cursor], mark) if found.next_cursor else None)
        return self.answered(
            page, RequestShown, keys=_key_names(self.organization, found.requests), bills=bills_of(found.requests)
        )


class RequestView(ResourceView):
    tag = "Requests"
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described("getRequest", "Show a request", answer=RequestShown)
    def get(self, request: Request, request_id: str) -> Response:
        """By the id in the header `x-request-id` of its answer."""
        found = get_request(self.organization, request_id)
        context = {"keys": _key_names(self.organization, [found]), "bills": bills_of([found])}
        return Response(RequestShown(found, context=context).data)


def _filters(organization: Organization, query: Mapping[str, Any]) -> RequestFilters:
    if query.get("from") and query.get("to") and query["from"] >= query["to"]:
        raise InvalidField.one("to", "It must be later than `from`.")
    names = ("model", "route", "target", "error_code", "stream", "to", "min_duration_ms")
    return RequestFilters(
        **{name: query.get(name) for name in names},
        from_=query.get("from"),
        status_class=STATUS_CLASSES.get(query.get("status", "")),
        is_error=True if query.get("status") == ANY_ERROR else None,
        key_id=_key_id(organization, query["key"]) if "key" in query else None,
    )


def _key_id(organization: Organization, public_id: str) -> int:
    """0 for a key that is not there: no request was made with it."""
    found = ApiKey.objects.of(organization).filter(public_id=public_id).values_list("pk", flat=True).first()
    return found or 0


def _key_names(organization: Organization, requests: Iterable[Usage]) -> dict[int, str]:
    ids = {request.key_id for request in requests if request.key_id}
    return dict(ApiKey.objects.of(organization).filter(pk__in=ids).values_list("pk", "public_id"))
