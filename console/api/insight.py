"""`/insight`: prompts that matter, and targets compared, each with what they suggest."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console import insight
from console.api.fields import Kind, Query, Shown, UsdOfNanos
from console.api.frame import ResourceView
from console.api.openapi import described

_LATEST = "Of the latest request, for `/requests/{id}`."
_FOUND_AT = "Null for what was read just now. Windows of many requests are read by a worker: this is when it did."


class InsightQuery(Query):
    window = serializers.ChoiceField(list(insight.WINDOWS), default="7d")


class PromptsQuery(InsightQuery):
    by = serializers.ChoiceField(["cost", "repeats"], default="cost")
    limit = serializers.IntegerField(min_value=1, max_value=100, default=insight.SHOWN)


class CacheSuggestionShown(Shown):
    scope = serializers.CharField()
    subject = serializers.CharField()
    ttl_s = serializers.IntegerField(source="prediction.ttl_s")
    hits = serializers.IntegerField(source="prediction.hits", help_text="More than there were, over the window.")
    saving_usd = UsdOfNanos(source="prediction.saving_nanos")


class PromptShown(Shown):
    object = Kind("prompt")
    prompt = serializers.CharField(source="prompt.name", help_text="Tells prompts apart and says nothing of them.")
    model = serializers.CharField(source="prompt.model")
    route = serializers.CharField(source="prompt.route", allow_blank=True)
    requests = serializers.IntegerField(source="prompt.requests")
    hits = serializers.IntegerField(source="prompt.hits", help_text="Answered from the cache as it is.")
    input_tokens = serializers.IntegerField(source="prompt.input_tokens")
    output_tokens = serializers.IntegerField(source="prompt.output_tokens")
    cost_usd = UsdOfNanos(source="prompt.cost_nanos")
    first_at = serializers.DateTimeField(source="prompt.first_at")
    last_at = serializers.DateTimeField(source="prompt.last_at")
    request = serializers.CharField(source="prompt.request_id", help_text=_LATEST)
    covered = serializers.BooleanField(help_text="A cache policy keeps its answers already.")
    suggestion = serializers.SerializerMethodField()

    def get_suggestion(self, row: insight.PromptRow) -> dict[str, Any] | None:
        return None if row.covered or row.prediction is None else dict(CacheSuggestionShown(row).data)


class FoundShown(Shown):
    """Both lists: what a worker found carries the time it is of."""

    object = Kind("list")
    found_at = serializers.DateTimeField(source="seen.found_at", allow_null=True, help_text=_FOUND_AT)
    under_way = serializers.SerializerMethodField(help_text="A worker is looking; ask again for what it finds.")

    def get_under_way(self, shown: dict[str, Any]) -> bool:
        return bool(shown["seen"].is_under_way or shown["seen"].is_due)


class PromptsShown(FoundShown):
    data = PromptShown(many=True)  # type: ignore[assignment]  # the word of every list


class OfferShown(Shown):
    target = serializers.CharField(source="name")
    input_usd = serializers.FloatField(allow_null=True, help_text="Per million tokens.")
    output_usd = serializers.FloatField(allow_null=True)
    attempts = serializers.IntegerField(source="served.attempts", default=0)
    failures = serializers.IntegerField(source="served.failures", default=0)
    first_token_p50_ms = serializers.FloatField(source="served.ttft_p50_ms", default=None, allow_null=True)
    first_token_p95_ms = serializers.FloatField(source="served.ttft_p95_ms", default=None, allow_null=True)
    tokens_per_s = serializers.FloatField(source="served.tokens_per_s", default=None, allow_null=True)


class OrderSuggestionShown(Shown):
    reason = serializers.ChoiceField(["failing", "cheaper", "faster"])
    target = serializers.CharField()
    than = serializers.CharField()
    tiers = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))


class ModelComparisonShown(Shown):
    object = Kind("model_comparison")
    model = serializers.CharField()
    targets = OfferShown(many=True, source="offers")
    suggestion = OrderSuggestionShown(allow_null=True)


class ModelComparisonsShown(FoundShown):
    data = ModelComparisonShown(many=True)  # type: ignore[assignment]  # the word of every list


class PromptsView(ResourceView):
    tag = "Usage"
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described("listPrompts", "Prompts that cost most or come again", answer=PromptsShown, query=PromptsQuery)
    def get(self, request: Request) -> Response:
        """Apply a suggestion with `PUT /cache/policies`."""
        query = self.query(PromptsQuery)
        seen = insight.look(self.organization, timezone.now(), query["window"])
        rows = insight.prompt_rows(self.organization, seen.findings, query["by"], query["limit"])
        return Response(PromptsShown({"data": rows, "seen": seen}).data)


class TargetComparisonView(ResourceView):
    tag = "Usage"
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described("compareTargets", "Compare targets for each model", answer=ModelComparisonsShown, query=InsightQuery)
    def get(self, request: Request) -> Response:
        """A failed attempt counts for the target that failed, whoever answered in the end.

        Apply a suggestion with `PUT /routes/{name}/draft`; of a route that is live say there what else it says.
        """
        seen = insight.look(self.organization, timezone.now(), self.query(InsightQuery)["window"])
        rows = insight.model_rows(self.organization, seen.findings)
        return Response(ModelComparisonsShown({"data": rows, "seen": seen}).data)
