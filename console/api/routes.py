"""`/routes`: an organisation's own model names in front of targets. Names may contain slashes."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Organization
from accounts.roles import Permission
from console.api.fields import Body, Flag, Kind, Number, Shown, Text, Usd, Whole
from console.api.frame import ResourceView
from console.api.openapi import described, list_of
from routing import services
from routing.cache_rules import LONGEST_TTL_S, ROUTE
from routing.cache_services import set_route_ttl
from routing.models import CachePolicy, Route
from routing.rule_people import doubts_about
from routing.scorers import STRATEGIES
from routing.sentences import LONGEST_CHARACTERS
from routing.services import LONGEST_FIRST_BYTE_S, MOST_QUEUE, MOST_RULES, MOST_TARGETS, MOST_TIERS, MOST_WEIGHT
from routing.stream_policies import LONGEST_HEDGE_MS, MOST_HEDGED_PERCENT, USUAL_EXTRA_USD, USUAL_HEDGED_PERCENT

CONTINUES = (
    "A stream that breaks off in the middle of a text goes on at the next target with the capability `prefill`, or "
    "of which no capabilities are listed, under one id; each target is billed its part. Never with several choices, "
    "`logprobs`, reasoning, JSON or tools."
)

WARNINGS = "Keys and members that the rules ask for and that there are not now: no request fits such a name."


class LegShown(Shown):
    target = serializers.CharField()
    weight = serializers.IntegerField()
    tier = serializers.IntegerField()


class TimeoutsShown(Shown):
    first_byte_s = serializers.FloatField(required=False)


class SpillOverShown(Shown):
    """When requests pass own machines by: more waiting than this, or a slower first token."""

    queue_above = serializers.IntegerField(required=False)
    first_token_above_s = serializers.FloatField(required=False)


class HedgeShown(Shown):
    """When a second target is asked besides the first, and within which bounds."""

    after_ms = serializers.IntegerField(allow_null=True)
    most_percent = serializers.IntegerField()
    most_extra_usd = serializers.CharField()


class RouteCacheShown(Shown):
    ttl_s = serializers.IntegerField(help_text="0 keeps nothing, whatever a wider policy says.")


class RulesShown(serializers.ListField):
    child = serializers.CharField()

    def __init__(self) -> None:
        super().__init__(help_text="Sentences; the first that fits a request decides, else `strategy` and `targets`.")


class RouteShown(Shown):
    object = Kind("route")
    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    strategy = serializers.CharField()
    targets = LegShown(many=True)
    timeouts = TimeoutsShown()
    enabled = serializers.BooleanField()
    private = serializers.BooleanField(help_text="true: served by the organisation's own machines or not at all.")
    spill_over = SpillOverShown(allow_null=True)
    rules = RulesShown()
    continue_streams = serializers.BooleanField(help_text=CONTINUES)
    hedge = HedgeShown(allow_null=True)
    cache = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    @extend_schema_field(RouteCacheShown(allow_null=True))
    def get_cache(self, route: Any) -> dict[str, int] | None:
        return None if route.cache_ttl_s is None else {"ttl_s": route.cache_ttl_s}


class PutRouteShown(RouteShown):
    warnings = serializers.SerializerMethodField(help_text=WARNINGS)

    def get_warnings(self, route: Route) -> list[str]:
        return doubts_about(route.org, route.rules)


class LegWishes(Body):
    target = Text(
        max_length=260, help_text="`<provider>/<model>`, `node/<machine>/<model>`, or a model wherever it is served."
    )
    weight = Whole(min_value=0, max_value=MOST_WEIGHT, default=1)
    tier = Whole(min_value=0, max_value=MOST_TIERS, default=0, help_text="Lower tiers are tried first.")


class FallbackWishes(Body):
    target = Text(max_length=260, help_text="As in `targets`.")


class TimeoutWishes(Body):
    first_byte_s = Number(required=False, min_value=0.001, max_value=LONGEST_FIRST_BYTE_S)


class SpillOverWishes(Body):
    queue_above = Whole(required=False, min_value=0, max_value=MOST_QUEUE, help_text="Requests waiting at a machine.")
    first_token_above_s = Number(required=False, min_value=0.001, max_value=LONGEST_FIRST_BYTE_S)


class RouteCacheWishes(Body):
    ttl_s = Whole(min_value=0, max_value=LONGEST_TTL_S, help_text="For how long answers are given again.")


class HedgeWishes(Body):
    after_ms = Whole(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=LONGEST_HEDGE_MS,
        help_text="null: the 95th percentile of the first target's first token, once 20 are known.",
    )
    most_percent = Whole(
        min_value=1, max_value=MOST_HEDGED_PERCENT, default=USUAL_HEDGED_PERCENT, help_text="Of the route's streams."
    )
    most_extra_usd = Usd(
        required=False,
        allow_null=True,
        help_text=f"What is lost costs at most: a prompt that may cost more is not hedged. null: {USUAL_EXTRA_USD}.",
    )


class RouteWishes(Body):
    strategy = serializers.ChoiceField(list(STRATEGIES), default="priority")
    targets = serializers.ListField(child=LegWishes(), min_length=1, max_length=MOST_TARGETS)
    fallback = serializers.ListField(
        child=FallbackWishes(),
        required=False,
        max_length=MOST_TARGETS,
        help_text="Tried in this order once all of `targets` have failed: each is shown as a further tier of them.",
    )
    timeouts = TimeoutWishes(required=False)
    enabled = Flag(default=True)
    private = Flag(default=False, help_text="Never to a third party, whatever the targets say: 503 instead.")
    spill_over = SpillOverWishes(
        required=False, allow_null=True, help_text="Own machines first, the other targets when those are too busy."
    )
    rules = serializers.ListField(
        child=Text(max_length=LONGEST_CHARACTERS),
        required=False,
        max_length=MOST_RULES,
        help_text='Sentences such as `when tag is "batch" use cheapest of "groq/gpt-oss-120b" '
        'then on timeout fall back to priority of "node/office/llama"`. The first that fits decides.',
    )
    continue_streams = Flag(default=False, help_text=CONTINUES)
    hedge = HedgeWishes(
        required=False,
        allow_null=True,
        help_text="A stream whose first token is late is asked of a second target too; who begins first answers. "
        "What the other one cost stands with its attempt and is not charged.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        fallback, legs = attrs.pop("fallback", ()), attrs["targets"]
        begin = max(leg["tier"] for leg in legs) + 1
        if len(legs) + len(fallback) > MOST_TARGETS or begin + len(fallback) > MOST_TIERS + 1:
            message = f"Together with `targets` there may be {MOST_TARGETS}, the last of them in tier {MOST_TIERS}."
            raise serializers.ValidationError({"fallback": [message]})
        later = [{**leg, "weight": 1, "tier": begin + place} for place, leg in enumerate(fallback)]
        return {**attrs, "targets": [*legs, *later]}


class PutRouteWishes(RouteWishes):
    """A policy of the cache takes effect at once and is no part of a route's versions."""

    cache = RouteCacheWishes(
        required=False, allow_null=True, help_text="Left out: as the policy of the model or the organisation says."
    )


class RoutesView(ResourceView):
    tag = "Routes"
    needs = {"GET": (Permission.VIEW,)}

    @described("listRoutes", "List routes", **list_of(RouteShown))
    def get(self, request: Request) -> Response:
        return self.listed(with_cache(self.organization), RouteShown, ["name"])


class RouteView(ResourceView):
    tag = "Routes"
    needs = {
        "GET": (Permission.VIEW,),
        "PUT": (Permission.MANAGE_ROUTES,),
        "DELETE": (Permission.MANAGE_ROUTES,),
    }

    @described("getRoute", "Show a route", answer=RouteShown)
    def get(self, request: Request, name: str) -> Response:
        return Response(RouteShown(self._route(name)).data)

    @described(
        "putRoute",
        "Create or replace a route",
        body=PutRouteWishes,
        answer=PutRouteShown,
        sent={
            "strategy": "priority",
            "targets": [{"target": "openai/gpt-5-mini"}, {"target": "groq/gpt-oss-120b", "tier": 1}],
            "timeouts": {"first_byte_s": 20},
            "rules": ['when tag is "batch" use cheapest of "groq/gpt-oss-120b"'],
        },
    )
    def put(self, request: Request, name: str) -> Response:
        """What is left out gets its default: the route is afterwards what the body says."""
        wishes: dict[str, Any] = self.read(PutRouteWishes)
        cache = wishes.pop("cache", None)
        with transaction.atomic():
            route = services.put_route(self.organization, self.actor, name, wishes)
            set_route_ttl(self.organization, self.actor, route.name, cache["ttl_s"] if cache else None)
        return Response(PutRouteShown(self._route(route.name)).data)

    @described("deleteRoute", "Delete a route", status=204)
    def delete(self, request: Request, name: str) -> Response:
        services.delete_route(self._route(name), self.actor)
        return Response(status=204)

    def _route(self, name: str) -> Route:
        return self.find(with_cache(self.organization).select_related("org"), name=name)


def with_cache(organization: Organization) -> QuerySet[Route]:
    """Routes as `RouteShown` shows them."""
    policies = CachePolicy.objects.of(organization).filter(scope=ROUTE, subject=OuterRef("name"))
    return Route.objects.of(organization).annotate(cache_ttl_s=Subquery(policies.values("ttl_s")[:1]))
