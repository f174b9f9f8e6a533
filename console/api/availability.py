"""`/providers/{id}/availability`: how a provider did, day by day."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.fields import Kind, Shown
from console.api.frame import ResourceView
from console.api.openapi import described
from console.availability import availability_of
from console.offers import connections_in_sight


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
