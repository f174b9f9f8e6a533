"""`/routes/{name}/canary`: a draft on trial with a part of its route's requests."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.fields import Body, Kind, Shown, Whole
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described
from console.api.route_versions import ContentShown, draft_of
from console.api.routes import RouteShown, with_cache
from routing import canaries
from routing.models import Canary

_MEAN = "The mean; null where nothing was timed."


class FiguresShown(Shown):
    requests = serializers.IntegerField(help_text="Without those that limits or their callers ended.")
    errors = serializers.IntegerField()  # type: ignore[assignment]  # the word of `/usage` too
    error_percent = serializers.FloatField()
    first_token_ms = serializers.FloatField(source="ttft_ms", allow_null=True, help_text=_MEAN)
    duration_ms = serializers.FloatField(allow_null=True, help_text=_MEAN)


class CanaryShown(Shown):
    object = Kind("route.canary")
    id = serializers.CharField(source="public_id")
    name = serializers.CharField(source="route.name")
    content = ContentShown()
    percent = serializers.IntegerField(help_text="Of the route's requests.")
    most_error_percent = serializers.IntegerField(
        help_text="Rolled back when more of its requests fail than of the stable version's, by more than that."
    )
    least_requests = serializers.IntegerField(help_text="Fewer say nothing.")
    state = serializers.ChoiceField([Canary.RUNNING, Canary.PROMOTED, Canary.ROLLED_BACK, Canary.SUPERSEDED])
    reason = serializers.CharField(allow_blank=True)
    canary = serializers.SerializerMethodField()
    stable = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)

    def get_canary(self, row: Canary) -> dict[str, Any]:
        return dict(FiguresShown(canaries.compare(row).canary).data)

    def get_stable(self, row: Canary) -> dict[str, Any]:
        return dict(FiguresShown(canaries.compare(row).stable).data)


class CanaryWishes(Body):
    percent = Whole(min_value=1, max_value=canaries.MOST_PERCENT)
    most_error_percent = Whole(min_value=0, max_value=100, default=canaries.MOST_ERROR_PERCENT)
    least_requests = Whole(min_value=1, max_value=canaries.MOST_LEAST_REQUESTS, default=canaries.LEAST_REQUESTS)


class CanaryChanges(Body):
    percent = Whole(min_value=1, max_value=canaries.MOST_PERCENT)


class PromoteWishes(Body):
    pass


class _CanaryView(ResourceView):
    tag = "Routes"

    def running(self, name: str) -> Canary:
        rows = Canary.objects.of(self.organization).filter(state=Canary.RUNNING).select_related("org", "route")
        return self.find(rows, route__name=name)


class RouteCanaryView(_CanaryView):
    needs = {
        "GET": (Permission.VIEW,),
        "POST": (Permission.MANAGE_ROUTES,),
        "PATCH": (Permission.MANAGE_ROUTES,),
        "DELETE": (Permission.MANAGE_ROUTES,),
    }

    @described("getRouteCanary", "Show the canary of a route", answer=CanaryShown)
    def get(self, request: Request, name: str) -> Response:
        """The one that runs, or else the latest; with what became of requests in both versions while it ran."""
        rows = Canary.objects.of(self.organization).filter(route__name=name).select_related("route")
        row = rows.order_by("-pk").first()
        if row is None:
            raise Http404
        return Response(CanaryShown(row).data)

    @described(
        "startRouteCanary",
        "Try the draft of a route",
        body=CanaryWishes,
        answer=CanaryShown,
        status=201,
        sent={"percent": 10},
    )
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        """So many of a hundred requests of the route go to its draft, each by chance."""
        draft = draft_of(self.organization, name)
        return Response(CanaryShown(canaries.start(draft, self.actor, **self.read(CanaryWishes))).data, 201)

    @described("changeRouteCanary", "Change the share of a canary", body=CanaryChanges, answer=CanaryShown)
    def patch(self, request: Request, name: str) -> Response:
        changed = canaries.set_percent(self.running(name), self.actor, self.read(CanaryChanges)["percent"])
        return Response(CanaryShown(changed).data)

    @described("rollBackRouteCanary", "Roll a canary back", status=204)
    def delete(self, request: Request, name: str) -> Response:
        """All requests go to the stable version within a second. The draft stays."""
        canaries.roll_back(self.running(name), self.actor)
        return Response(status=204)


class RoutePromoteView(_CanaryView):
    needs = {"POST": (Permission.MANAGE_ROUTES,)}

    @described("promoteRouteCanary", "Promote a canary", body=PromoteWishes, answer=RouteShown)
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        """It becomes the route, as a new version. Every process serves it within a second."""
        route = canaries.promote(self.running(name), self.actor)
        return Response(RouteShown(with_cache(self.organization).get(pk=route.pk)).data)
