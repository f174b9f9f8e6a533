"""`/providers/{id}/availability` and `/nodes/{id}/availability`: how a provider or a machine did, day by day."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.fields import Kind, Shown
from console.api.frame import ResourceView
from console.api.openapi import described
from console.availability import availability_of, availability_of_node
from console.offers import connections_in_sight
from nodes.services import nodes_of


class DayShown(Shown):
    day = serializers.DateField()
    share = serializers.FloatField(
        allow_null=True,
        help_text="From 0 to 1, the lower of answered attempts and time without an outage; null: nothing known.",
    )
    attempts = serializers.IntegerField(help_text="Of this organisation, those included that others made good.")
    failed = serializers.IntegerField()
    probes = serializers.IntegerField()
    probes_failed = serializers.IntegerField()
    down_s = serializers.FloatField()


class AvailabilityShown(Shown):
    object = Kind("availability")
    share = serializers.FloatField(allow_null=True, help_text="The mean of the days of which something is known.")
    days = serializers.ListField(child=DayShown(), help_text="In UTC, the oldest first.")


class ProviderAvailabilityView(ResourceView):
    tag = "Providers"
    needs = {"GET": (Permission.VIEW,)}

    @described("getProviderAvailability", "Show a provider's availability", answer=AvailabilityShown)
    def get(self, request: Request, provider_id: str) -> Response:
        """Of the last 90 days, today included."""
        connection = self.find(connections_in_sight(self.organization), public_id=provider_id)
        return Response(AvailabilityShown(availability_of(self.organization, [connection])[connection.pk]).data)


class NodeAvailabilityView(ResourceView):
    tag = "Nodes"
    needs = {"GET": (Permission.VIEW,)}

    @described("getNodeAvailability", "Show a machine's availability", answer=AvailabilityShown)
    def get(self, request: Request, node_id: str) -> Response:
        """Of the last 90 days, today included, by this organisation's attempts: machines are not probed, and how long
        one was not connected is not kept."""
        node = self.find(nodes_of(self.organization), public_id=node_id)
        return Response(AvailabilityShown(availability_of_node(self.organization, node)).data)
