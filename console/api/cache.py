"""`/cache`: for how long answers are kept, what that saved, and how what is kept is thrown away."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.key_lines import KeyLines
from accounts.roles import Permission
from console.api.fields import Body, Flag, Kind, Number, Query, Shown, Text, UsdOfNanos, Whole
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described, list_of
from metering.savings import savings
from routing import cache_services
from routing.cache_rules import KEY, LONGEST_TTL_S, SCOPES
from routing.cache_services import LEAST_THRESHOLD, USUAL_THRESHOLD
from routing.models import CachePolicy


class SemanticShown(Shown):
    model = serializers.CharField(help_text="By whose embeddings questions are compared.")
    threshold = serializers.FloatField(help_text="From which cosine on they count as the same.")


class SemanticWishes(Body):
    model = Text(max_length=260, help_text="An embedding model, a route to one, or one pinned to its provider.")
    threshold = Number(min_value=LEAST_THRESHOLD, max_value=1, default=USUAL_THRESHOLD)


class CachePolicyShown(Shown):
    object = Kind("cache_policy")
    id = serializers.CharField(source="public_id")
    scope = serializers.ChoiceField(list(SCOPES))
    subject = serializers.SerializerMethodField(
        help_text="A route's or model's name, or the id of a key: of the newest, where it was rotated."
    )
    ttl_s = serializers.IntegerField(help_text="0 keeps nothing, whatever a wider policy says.")
    per_key = serializers.BooleanField(help_text="true: no key gets another key's answers.")
    semantic = SemanticShown(allow_null=True, help_text="Of a route: what means the same is answered alike.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_subject(self, row: CachePolicy) -> str:
        if row.scope != KEY:
            return row.subject
        lines = self.context.get("lines") or KeyLines(row.org_id)
        return str(lines.newest(row.subject))


class CachePolicyWishes(Body):
    scope = serializers.ChoiceField(list(SCOPES))
    subject = Text(required=False, max_length=260, allow_blank=True, default="")
    ttl_s = Whole(min_value=0, max_value=LONGEST_TTL_S)
    per_key = Flag(default=False)
    semantic = SemanticWishes(required=False, allow_null=True, default=None, help_text="Of a route alone.")


class PurgeWishes(Body):
    name = Text(
        required=False, max_length=200, allow_blank=True, default="", help_text="A route or model; all, if left out."
    )


class PurgeShown(Shown):
    object = Kind("cache_purge")
    name = serializers.CharField(allow_blank=True)
    count = serializers.IntegerField(help_text="How often this was purged.")
    purged_at = serializers.DateTimeField()


class SavingsQuery(Query):
    days = serializers.IntegerField(min_value=1, max_value=90, default=7)


class SavingsOfOne(Shown):
    name = serializers.CharField(
        allow_blank=True, help_text="Of the route, or of the model where no route was asked for."
    )
    requests = serializers.IntegerField(help_text="That a policy covers.")
    hits = serializers.IntegerField()
    saved_usd = UsdOfNanos(source="saved_nanos")


class SavingsShown(Shown):
    object = Kind("cache_savings")
    total = SavingsOfOne()
    data = SavingsOfOne(many=True)  # type: ignore[assignment]  # the word of every list


class CachePoliciesView(ResourceView):
    tag = "Routes"
    needs = {"GET": (Permission.VIEW,), "PUT": (Permission.MANAGE_ROUTES,)}

    @described("listCachePolicies", "List cache policies", **list_of(CachePolicyShown))
    def get(self, request: Request) -> Response:
        """Of those that cover a request the narrowest counts: key, route, model, organisation."""
        page = self.page(CachePolicy.objects.of(self.organization))
        return self.answered(page, CachePolicyShown, lines=KeyLines(self.organization.pk))

    @described(
        "putCachePolicy",
        "Create or replace a cache policy",
        body=CachePolicyWishes,
        answer=CachePolicyShown,
        sent={"scope": "organization", "ttl_s": 3600},
    )
    def put(self, request: Request) -> Response:
        """There is one for each scope and subject. A key's stays with the keys that replace it."""
        wishes = self.read(CachePolicyWishes)
        return Response(CachePolicyShown(cache_services.put_policy(self.organization, self.actor, **wishes)).data)


class CachePolicyView(ResourceView):
    tag = "Routes"
    needs = {"GET": (Permission.VIEW,), "DELETE": (Permission.MANAGE_ROUTES,)}

    @described("getCachePolicy", "Show a cache policy", answer=CachePolicyShown)
    def get(self, request: Request, policy_id: str) -> Response:
        return Response(CachePolicyShown(self._policy(policy_id)).data)

    @described("deleteCachePolicy", "Delete a cache policy", status=204)
    def delete(self, request: Request, policy_id: str) -> Response:
        cache_services.delete_policy(self._policy(policy_id), self.actor)
        return Response(status=204)

    def _policy(self, policy_id: str) -> CachePolicy:
        return self.find(CachePolicy.objects.of(self.organization).select_related("org"), public_id=policy_id)


class CachePurgeView(ResourceView):
    tag = "Routes"
    needs = {"POST": (Permission.MANAGE_ROUTES,)}

    @described(
        "purgeCache", "Throw away what is kept", body=PurgeWishes, answer=PurgeShown, sent={"name": "team/fast"}
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Nothing of it is given any more as soon as every process knows, which is within a second."""
        wishes = self.read(PurgeWishes)
        return Response(PurgeShown(cache_services.purge(self.organization, self.actor, wishes["name"])).data)


class CacheSavingsView(ResourceView):
    tag = "Routes"
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described("getCacheSavings", "What the cache saved", answer=SavingsShown, query=SavingsQuery)
    def get(self, request: Request) -> Response:
        now = timezone.now()
        days = timedelta(days=self.query(SavingsQuery)["days"])
        total, *rows = savings(self.organization, now - days, now)
        return Response(SavingsShown({"total": total, "data": rows}).data)
