"""`/routes/simulate` and `/simulations`: what the draft of a route would have done with past requests."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.fields import Body, Kind, Shown, Text, UsdOfNanos, Whole
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described, list_of
from routing.models import RouteDraft, Simulation
from routing.simulations import LONGEST_H, cancel_simulation, start_simulation
from routing.tasks import run_simulation

STATES = (Simulation.WAITING, Simulation.RUNNING, Simulation.DONE, Simulation.CANCELLED, Simulation.FAILED)


class SimulateWishes(Body):
    name = Text(max_length=200, help_text="Of the draft.")
    traffic = Text(
        max_length=200,
        allow_blank=True,
        required=False,
        help_text="The route or model whose requests are taken; empty takes all; left out: those of this name.",
    )
    hours = Whole(min_value=1, max_value=LONGEST_H, default=LONGEST_H)


class SimulatedShown(Shown):
    cost_usd = UsdOfNanos(source="cost_nanos")
    failures = serializers.FloatField(help_text="Expected ones where chance has a part in them.")
    first_token_ms = serializers.FloatField(allow_null=True)
    first_token_p95_ms = serializers.FloatField(allow_null=True)


class SimulatedShareShown(Shown):
    target = serializers.CharField()
    was = serializers.IntegerField()
    would = serializers.IntegerField()


class SimulationReportShown(Shown):
    requests = serializers.IntegerField()
    was = SimulatedShown()
    would = SimulatedShown()
    targets = SimulatedShareShown(many=True)
    rules = serializers.DictField(
        child=serializers.IntegerField(), help_text="Requests by the rule that decides; 0: none fits."
    )
    unmeasured = serializers.IntegerField(help_text="Requests that would go first to a target without measurements.")


class SimulationShown(Shown):
    object = Kind("route.simulation")
    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    traffic = serializers.CharField()
    state = serializers.ChoiceField(STATES)
    total = serializers.IntegerField(help_text="Requests to go through.")
    done = serializers.IntegerField()
    begins_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    started_by = serializers.CharField(source="actor_label")
    report = SimulationReportShown(allow_null=True)


class SimulateView(ResourceView):
    tag = "Routes"
    needs = {"POST": (Permission.MANAGE_ROUTES,)}

    @described(
        "simulateRoute",
        "Simulate the draft of a route",
        body=SimulateWishes,
        answer=SimulationShown,
        status=201,
        sent={"name": "fast", "hours": 24},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Begins it; `GET /simulations/{id}` tells how far it is and, at the end, cost, latency and failures against
        what was. Nothing is called. Tags and headers that requests carried are not kept, so that conditions on them
        hold only by what their keys tell; nor is kept which tools, `provider` preferences or `max_tokens` they named,
        for which a target may be passed over. Own machines count as idle, budgets as unspent, and no drill is on."""
        wishes = self.read(SimulateWishes)
        drafts = RouteDraft.objects.of(self.organization).select_related("org")
        draft = self.find(drafts, name=wishes["name"])
        begun = start_simulation(
            draft, self.actor, traffic=wishes.get("traffic"), hours=wishes["hours"], run=run_simulation.delay
        )
        return Response(SimulationShown(begun).data, 201)


class SimulationsView(ResourceView):
    tag = "Routes"
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described("listSimulations", "List simulations", **list_of(SimulationShown))
    def get(self, request: Request) -> Response:
        return self.listed(Simulation.objects.of(self.organization), SimulationShown)


class SimulationView(ResourceView):
    tag = "Routes"
    needs = {"GET": (Permission.VIEW_USAGE,), "DELETE": (Permission.MANAGE_ROUTES,)}

    @described("getSimulation", "Show a simulation", answer=SimulationShown)
    def get(self, request: Request, simulation_id: str) -> Response:
        return Response(SimulationShown(self._simulation(simulation_id)).data)

    @described("cancelSimulation", "Cancel a simulation", status=204)
    def delete(self, request: Request, simulation_id: str) -> Response:
        """One that is over stays as it is."""
        cancel_simulation(self._simulation(simulation_id), self.actor)
        return Response(status=204)

    def _simulation(self, simulation_id: str) -> Simulation:
        return self.find(Simulation.objects.of(self.organization).select_related("org"), public_id=simulation_id)
