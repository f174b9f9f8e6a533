"""`/usage/same-traffic`: what the same requests would have cost on each target in sight."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.fields import Kind, Shown, SignedUsdOfNanos, UsdOfNanos
from console.api.frame import ResourceView
from console.api.openapi import described
from console.api.usage import SpanQuery, narrowed_by
from console.same_traffic import same_traffic
from metering.reports import usage_report

_PER_MILLION = "Per million tokens of a request whose prompt meets no tier."


class ElsewhereShown(Shown):
    target = serializers.CharField()
    provider = serializers.CharField()
    input_usd = UsdOfNanos(source="price.input_nanos", default=None, allow_null=True, help_text=_PER_MILLION)
    output_usd = UsdOfNanos(source="price.output_nanos", default=None, allow_null=True, help_text=_PER_MILLION)
    has_tiers = serializers.SerializerMethodField(help_text="Whether long prompts cost more; then they do here.")
    is_rough = serializers.BooleanField(help_text="A tier begins where sums of usage know the average prompt only.")
    cost_usd = UsdOfNanos(source="nanos", allow_null=True, help_text="Null where no price is known.")
    difference_usd = SignedUsdOfNanos(source="difference", allow_null=True, help_text="Negative for what is cheaper.")

    def get_has_tiers(self, offer: object) -> bool:
        price = getattr(offer, "price", None)
        return bool(price and price.finer and price.finer.tiers)


class SameTrafficShown(Shown):
    object = Kind("same_traffic")
    requests = serializers.IntegerField(source="row.requests", help_text="Those that a target answered.")
    input_tokens = serializers.IntegerField(source="row.input_tokens")
    cached_tokens = serializers.IntegerField(source="row.cached_tokens", help_text="A part of the input.")
    output_tokens = serializers.IntegerField(source="row.output_tokens")
    spend_usd = UsdOfNanos(source="row.spend_nanos", help_text="What they came to.")
    targets = ElsewhereShown(many=True, source="offers", help_text="The cheapest first.")


class SameTrafficView(ResourceView):
    tag = "Usage"
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described("getSameTraffic", "Price the same traffic elsewhere", answer=SameTrafficShown, query=SpanQuery)
    def get(self, request: Request) -> Response:
        """The tokens of the requests of [`from`, `to`), by the prices of now, tiers for long prompts included.
        Another model would write longer or shorter."""
        query = self.query(SpanQuery)
        narrowed = narrowed_by(self.organization, query)
        rows = usage_report(self.organization, query["from"], query["to"], ["target"], narrowed=narrowed)
        return Response(SameTrafficShown(same_traffic(self.organization, rows)).data)
