"""`/v1/credits`, `/v1/generation` and `/v1/usage`: what a key may ask about its own use, as OpenRouter's clients do.

They need PostgreSQL, so it is Django that answers them, not the data plane, under the same addresses and keys.
"""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import MANAGE
from accounts.errors import InvalidField
from accounts.models import Organization
from billing import statements
from common.errors import NotFound, PermissionRefused
from common.money import usd_from_nanos
from console.api.access import KeyAccess, OwnKey
from console.api.fields import Query
from console.api.frame import ResourceView
from console.api.usage import EARLIEST, Dimensions, Moment, span_in, summed
from metering.models import Usage
from metering.queries import get_request
from metering.reports import Narrowed, usage_report


class OwnUseView(ResourceView):
    authentication_classes = (OwnKey,)  # type: ignore[assignment]
    permission_classes = ()  # type: ignore[assignment]
    http_method_names = ["get", "head"]
    schema = None  # type: ignore[assignment]  # told by hand, with the rest of /v1

    @property
    def own(self) -> KeyAccess:
        return self.request.auth  # type: ignore[return-value]

    @property
    def organization(self) -> Organization:
        return self.own.key.org

    @property
    def manages(self) -> bool:
        return MANAGE in self.own.scopes


class CreditsView(OwnUseView):
    def get(self, request: Request) -> Response:
        """The organisation's, so a key needs the scope `manage`."""
        if not self.manages:
            raise PermissionRefused(f"This key lacks the scope '{MANAGE}'.", metadata={"scope": MANAGE})
        left = statements.balance(self.organization).total
        [sums] = usage_report(self.organization, EARLIEST, timezone.now(), [])
        return Response(
            {"data": {"total_credits": _usd(left + sums.charged_nanos), "total_usage": _usd(sums.charged_nanos)}}
        )


class GenerationQuery(Query):
    id = serializers.CharField(max_length=60, help_text="The `x-request-id` of an answer.")


class GenerationView(OwnUseView):
    def get(self, request: Request) -> Response:
        """One of this key's requests; any of the organisation's for a key with the scope `manage`."""
        asked_for = self.query(GenerationQuery)["id"]
        try:
            found = get_request(self.organization, asked_for)
        except Usage.DoesNotExist:
            raise _no_such(asked_for) from None
        if not self.manages and found.key_id != self.own.key.pk:
            raise _no_such(asked_for)
        return Response({"data": _told(found)})


class OwnUsageQuery(Query):
    from_ = Moment(required=False)
    to = Moment(required=False)
    group_by = Dimensions(default=list)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return span_in(attrs)


class OwnUsageView(OwnUseView):
    def get(self, request: Request) -> Response:
        """What this key has used in [`from`, `to`), the last week where nothing is said."""
        query = self.query(OwnUsageQuery)
        groups, span = query["group_by"], (query["from"], query["to"])
        if "member" in groups:
            raise InvalidField.one("group_by", "A key has one member.")
        narrowed = Narrowed(key_id=self.own.key.pk)
        rows = summed(self.organization, span, groups, "UTC", narrowed)
        [total] = summed(self.organization, span, [], "UTC", narrowed)
        envelope = {"object": "list", "data": rows, "has_more": False, "next_cursor": None}
        return Response({**envelope, "from": span[0], "to": span[1], "total": total})


def _no_such(id: str) -> NotFound:
    return NotFound(
        f"No request of this key is called '{id}'."
        " Give the x-request-id of an answer; it is found about a second later."
    )


def _told(usage: Usage) -> dict[str, Any]:
    """By OpenRouter's names where it has them."""
    details = usage.token_details or {}
    return {
        "id": usage.request_id,
        "created_at": usage.started_at,
        "model": usage.model,
        "provider_name": usage.target.partition("/")[0] or None,
        "target": usage.target or None,
        "route": usage.route or None,
        "streamed": usage.stream,
        "cancelled": usage.status == 499,
        "status": usage.status,
        "finish_reason": usage.finish_reason or None,
        "tokens_prompt": usage.input_tokens,
        "tokens_completion": usage.output_tokens,
        "native_tokens_prompt": usage.input_tokens,
        "native_tokens_completion": usage.output_tokens,
        "native_tokens_cached": usage.cached_tokens,
        "native_tokens_reasoning": details.get("reasoning", 0),
        "total_cost": _usd(usage.cost_nanos),
        "cache_discount": _usd(usage.saved_nanos) if usage.saved_nanos else None,
        "latency": usage.ttft_ms,
        "generation_time": usage.duration_ms,
        "billing_reason": usage.billing_reason,
    }


def _usd(nanos: int) -> float:
    """A number, as OpenRouter's clients read it; exact figures are strings under `/api/v1`."""
    return float(usd_from_nanos(nanos))
