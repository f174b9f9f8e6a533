"""`/models` and `/targets`: what can be routed to."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.catalogue import ModelEntry, TargetEntry, models_of, targets_of
from console.api.fields import Kind, PageQuery, Shown, Usd
from console.api.frame import ResourceView
from console.api.openapi import described, list_of
from console.api.pages import page_of_list
from console.api.provider_shapes import TIERS, PriceTierShown
from console.api.target_health import CONDITIONS
from providers.endpoints import KINDS
from providers.states import Condition
from providers.targets import CLOUD, GUEST, OWN


class PriceShown(Shown):
    """US dollars for a million tokens, and for a request."""

    input_price = Usd()
    cached_input_price = Usd(allow_null=True)
    output_price = Usd()
    request_price = Usd()
    cache_write_price = Usd(allow_null=True, help_text="null: as other input.")
    audio_input_price = Usd(allow_null=True, help_text="null: as other input.")
    reasoning_price = Usd(allow_null=True, help_text="null: as other output.")
    audio_output_price = Usd(allow_null=True, help_text="null: as other output.")
    price_tiers = PriceTierShown(many=True, help_text=TIERS)


class HealthShown(Shown):
    """Of this organisation's requests of the last five minutes."""

    state = serializers.ChoiceField(["healthy", "degraded", "down"])
    attempts = serializers.IntegerField(source="total")
    failed = serializers.IntegerField()
    last_at = serializers.DateTimeField()


class TargetShown(Shown):
    object = Kind("target")
    id = serializers.CharField()
    name = serializers.CharField(
        help_text="`<provider>/<model>`, `node/<machine>/<model>`: what routes and callers name."
    )
    model = serializers.CharField()
    kind = serializers.CharField(help_text="One of: " + ", ".join(KINDS) + ".")
    provider = serializers.CharField(help_text="The provider's `slug`.")
    provider_name = serializers.CharField()
    is_own = serializers.BooleanField(help_text="false: of the platform, or a machine of another organisation.")
    place = serializers.ChoiceField(
        [CLOUD, OWN, GUEST], help_text="A provider, a machine of one's own, a machine of another organisation."
    )
    price = PriceShown(allow_null=True, help_text="null: not known.")
    priority = serializers.IntegerField(help_text="Lower is tried first.")
    weight = serializers.IntegerField()
    context_tokens = serializers.IntegerField(allow_null=True)
    max_output_tokens = serializers.IntegerField(allow_null=True)
    capabilities = serializers.ListField(child=serializers.CharField())
    simulated = serializers.BooleanField()
    state = serializers.ChoiceField(list(Condition), help_text=f"{CONDITIONS} See `/targets/{{id}}/health`.")
    health = HealthShown(allow_null=True, help_text="null: no traffic lately.")
    first_token_p50_ms = serializers.FloatField(
        allow_null=True, help_text="The median of this organisation's last day; null: not measured."
    )


class ModelShown(Shown):
    object = Kind("model")
    id = serializers.CharField(help_text="The name to ask for.")
    is_route = serializers.BooleanField()
    kind = serializers.CharField(help_text="One of: " + ", ".join(KINDS) + ".")
    targets = serializers.ListField(child=serializers.CharField())
    price = PriceShown(allow_null=True, help_text="The cheapest target's.")
    context_tokens = serializers.IntegerField(allow_null=True, help_text="The largest target's.")
    capabilities = serializers.ListField(child=serializers.CharField())
    health = HealthShown(allow_null=True, help_text="The healthiest target's.")
    first_token_p50_ms = serializers.FloatField(allow_null=True)


class TargetsView(ResourceView):
    tag = "Models"
    needs = {"GET": (Permission.VIEW,)}

    @described("listTargets", "List targets", **list_of(TargetShown))
    def get(self, request: Request) -> Response:
        """Every model at every provider and machine that this organisation can use."""
        query = self.query(PageQuery)
        found = targets_of(self.organization)
        page = page_of_list(found, _name_of_target, query.get("cursor"), query["limit"], self.mark())
        return self.answered(page, TargetShown)


class ModelsView(ResourceView):
    tag = "Models"
    needs = {"GET": (Permission.VIEW,)}

    @described("listModels", "List models", **list_of(ModelShown))
    def get(self, request: Request) -> Response:
        """Every name that callers can ask for: routes, and the models that providers serve."""
        query = self.query(PageQuery)
        found = models_of(self.organization)
        page = page_of_list(found, _name_of_model, query.get("cursor"), query["limit"], self.mark())
        return self.answered(page, ModelShown)


def _name_of_target(target: TargetEntry) -> str:
    return target.name


def _name_of_model(model: ModelEntry) -> str:
    return model.id
