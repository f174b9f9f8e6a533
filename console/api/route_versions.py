"""`/routes/{name}/versions`, `rollback`, `draft`, `publish`: routes before they are live, and as they were."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Organization
from accounts.roles import Permission
from common.errors import NotFound
from console.api.fields import Body, Kind, Shown, Whole
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described, list_of
from console.api.routes import (
    HedgeShown,
    LegShown,
    RouteShown,
    RouteWishes,
    RulesShown,
    SpillOverShown,
    TimeoutsShown,
    with_cache,
)
from routing import drafts
from routing.models import Route, RouteDraft, RouteVersion


class ContentShown(Shown):
    strategy = serializers.CharField()
    targets = LegShown(many=True)
    timeouts = TimeoutsShown()
    enabled = serializers.BooleanField()
    private = serializers.BooleanField()
    spill_over = SpillOverShown(allow_null=True)
    rules = RulesShown()
    continue_streams = serializers.BooleanField()
    hedge = HedgeShown(allow_null=True)


class RouteVersionShown(Shown):
    object = Kind("route.version")
    number = serializers.IntegerField(help_text="1 is the oldest.")
    content = ContentShown()
    restored = serializers.IntegerField(allow_null=True, help_text="The version that this one brought back.")
    published_by = serializers.CharField(source="actor_label")
    created_at = serializers.DateTimeField()


class RouteDraftShown(Shown):
    object = Kind("route.draft")
    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    content = ContentShown()
    based_on = serializers.IntegerField(allow_null=True, help_text="The version that was live when it was begun.")
    updated_at = serializers.DateTimeField()


class RollbackWishes(Body):
    version = Whole(min_value=1, max_value=2_000_000_000)


class PublishWishes(Body):
    pass


class RouteVersionsView(ResourceView):
    tag = "Routes"
    needs = {"GET": (Permission.VIEW,)}

    @described("listRouteVersions", "List the versions of a route", **list_of(RouteVersionShown))
    def get(self, request: Request, name: str) -> Response:
        route = self.find(Route.objects.of(self.organization), name=name)
        versions = RouteVersion.objects.of(self.organization).filter(route=route)
        return self.listed(versions, RouteVersionShown, ["-number"])


class RouteRollbackView(ResourceView):
    tag = "Routes"
    needs = {"POST": (Permission.MANAGE_ROUTES,)}

    @described("rollBackRoute", "Roll a route back", body=RollbackWishes, answer=RouteShown, sent={"version": 3})
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        """Publishes what that version said, as a new version. Every process serves it within a second."""
        route = self.find(Route.objects.of(self.organization).select_related("org"), name=name)
        wishes = self.read(RollbackWishes)
        restored = drafts.roll_back(route, self.actor, wishes["version"])
        return Response(RouteShown(with_cache(self.organization).get(pk=restored.pk)).data)


class RouteDraftView(ResourceView):
    tag = "Routes"
    needs = {
        "GET": (Permission.VIEW,),
        "PUT": (Permission.MANAGE_ROUTES,),
        "DELETE": (Permission.MANAGE_ROUTES,),
    }

    @described("getRouteDraft", "Show the draft of a route", answer=RouteDraftShown)
    def get(self, request: Request, name: str) -> Response:
        return Response(RouteDraftShown(self._draft(name)).data)

    @described("putRouteDraft", "Create or replace the draft of a route", body=RouteWishes, answer=RouteDraftShown)
    def put(self, request: Request, name: str) -> Response:
        """Nothing changes for callers until it is published. `POST /routes/explain` tests it with `draft`."""
        wishes: dict[str, Any] = self.read(RouteWishes)
        draft = drafts.save_draft(self.organization, self.actor, name, wishes)
        return Response(RouteDraftShown(draft).data)

    @described("discardRouteDraft", "Discard the draft of a route", status=204)
    def delete(self, request: Request, name: str) -> Response:
        drafts.discard_draft(self._draft(name), self.actor)
        return Response(status=204)

    def _draft(self, name: str) -> RouteDraft:
        return draft_of(self.organization, name)


class RoutePublishView(ResourceView):
    tag = "Routes"
    needs = {"POST": (Permission.MANAGE_ROUTES,)}

    @described("publishRouteDraft", "Publish the draft of a route", body=PublishWishes, answer=RouteShown)
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        """The draft becomes the route, as a new version. Every process serves it within a second."""
        draft = draft_of(self.organization, name)
        published = drafts.publish_draft(draft, self.actor)
        return Response(RouteShown(with_cache(self.organization).get(pk=published.pk)).data)


def draft_of(organization: Organization, name: str) -> RouteDraft:
    """Raises: NotFound."""
    draft = RouteDraft.objects.of(organization).select_related("org").filter(name=name).first()
    if draft is None:
        raise NotFound("There is no draft of a route of this name. PUT /routes/{name}/draft makes one.")
    return draft
