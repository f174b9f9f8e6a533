"""`/drills`: a target counts as down for this organisation, for a while."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.fields import Body, Kind, Shown, Text, Whole
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described, list_of
from routing import drills
from routing.models import Drill


class DrillShown(Shown):
    object = Kind("drill")
    id = serializers.CharField(source="public_id")
    target = serializers.CharField()
    created_at = serializers.DateTimeField()
    until = serializers.DateTimeField(help_text="It ends by itself then.")
    started_by = serializers.CharField(source="actor_label")


class DrillWishes(Body):
    target = Text(max_length=260, help_text="A target's name, or a provider's `slug` for all that it serves.")
    seconds = Whole(min_value=drills.LEAST_S, max_value=drills.LONGEST_S)


class DrillsView(ResourceView):
    tag = "Routes"
    needs = {"GET": (Permission.VIEW,), "POST": (Permission.MANAGE_ROUTES,)}

    @described("listDrills", "List outage drills", **list_of(DrillShown))
    def get(self, request: Request) -> Response:
        """Those that run and those that are over, newest first."""
        return self.listed(Drill.objects.of(self.organization), DrillShown)

    @described(
        "startDrill",
        "Start an outage drill",
        body=DrillWishes,
        answer=DrillShown,
        status=201,
        sent={"target": "openai", "seconds": 60},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """For so long the target serves nobody of this organisation; the reason `drill` stands in every trace."""
        wishes = self.read(DrillWishes)
        drill = drills.start_drill(self.organization, self.actor, wishes["target"], wishes["seconds"])
        return Response(DrillShown(drill).data, 201)


class DrillView(ResourceView):
    tag = "Routes"
    needs = {"DELETE": (Permission.MANAGE_ROUTES,)}

    @described("endDrill", "End an outage drill", status=204)
    def delete(self, request: Request, drill_id: str) -> Response:
        """Before its time. One that is over stays as it is."""
        drill = self.find(Drill.objects.of(self.organization).select_related("org"), public_id=drill_id)
        drills.end_drill(drill, self.actor)
        return Response(status=204)
