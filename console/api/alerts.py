"""`/alerts`: what is wrong with providers at this moment, as admins are told by e-mail and on every page."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.fields import Kind, Shown
from console.api.frame import ResourceView
from console.api.openapi import described, list_of
from providers.alerts import alerts_of
from providers.models import Alert


class AlertShown(Shown):
    object = Kind("alert")
    id = serializers.CharField(source="public_id")
    kind = serializers.ChoiceField(
        [Alert.KEY_PARKED, Alert.DOWN],
        help_text="`key_parked`: the provider refused a key. `down`: it answers neither probes nor requests.",
    )
    provider = serializers.CharField(source="connection.public_id")
    provider_name = serializers.CharField(source="connection.name")
    key = serializers.CharField(source="subject", allow_blank=True, help_text="The key's id, for an alert about one.")
    reason = serializers.CharField(allow_blank=True)
    raised_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True, help_text="null: it lasts.")


class AlertsView(ResourceView):
    tag = "Providers"
    needs = {"GET": (Permission.MANAGE_PROVIDERS,)}

    @described("listAlerts", "List alerts", **list_of(AlertShown))
    def get(self, request: Request) -> Response:
        """Those that last and those that are over, newest first."""
        return self.listed(alerts_of(self.organization), AlertShown, order=("-raised_at", "-public_id"))
