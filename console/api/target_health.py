"""`/targets/{id}/health`: what holds a target out of use, since when and why; and how to change that."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from common.errors import NotFound
from console.api.fields import Body, Kind, Shown, Text, Whole
from console.api.frame import ResourceView
from console.api.openapi import described
from console.targets import SeenTarget, find_own, find_target
from providers.models import HealthChange, Pulse
from providers.states import Condition
from routing import health_control

CONDITIONS = (
    "`closed`: in use. `open`: failed too often, others are tried first. `half_open`: the next request shows if it "
    "works again. `probe_failed`: its provider does not answer when it is probed. `held_open`: out of use by hand."
)


class PulseShown(Shown):
    """What was last proven of the provider, by probes (`models`, `token`) or by live `traffic`."""

    state = serializers.ChoiceField([Pulse.UNKNOWN, Pulse.UP, Pulse.DOWN])
    since = serializers.DateTimeField()
    proof = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    failures = serializers.IntegerField(help_text="In a row.")
    latency_ms = serializers.IntegerField(allow_null=True)
    looked_at = serializers.DateTimeField(allow_null=True)
    next_at = serializers.DateTimeField(help_text="When it is looked at again.")


class HealthChangeShown(Shown):
    at = serializers.DateTimeField()
    subject = serializers.SerializerMethodField(help_text="`target`, or `provider` for all that it serves.")
    name = serializers.CharField()
    key = serializers.CharField(source="credential", allow_blank=True, help_text="The provider's key that was used.")
    before = serializers.CharField()
    after = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    actor = serializers.CharField(source="actor_label", allow_blank=True)

    def get_subject(self, change: HealthChange) -> str:
        return "target" if change.target_id else "provider"


class TargetHealthShown(Shown):
    object = Kind("target_health")
    id = serializers.CharField()
    target = serializers.CharField()
    state = serializers.ChoiceField(list(Condition), help_text=CONDITIONS)
    since = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True, help_text="null: nothing is waited for, or only a person.")
    reason = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    provider = PulseShown(allow_null=True, help_text="null: not looked at yet, or a machine.")
    history = serializers.ListField(child=HealthChangeShown(), help_text="Newest first, 50 at most.")


class TargetHealthWishes(Body):
    state = serializers.ChoiceField(["held_open", "closed"])
    seconds = Whole(
        min_value=health_control.LEAST_S,
        max_value=health_control.LONGEST_S,
        allow_null=True,
        required=False,
        help_text="For how long it is held open; null: until it is closed.",
    )
    note = Text(max_length=400, allow_blank=True, required=False)


class TargetHealthView(ResourceView):
    tag = "Models"
    needs = {"GET": (Permission.VIEW,), "PUT": (Permission.MANAGE_PROVIDERS, Permission.MANAGE_NODES)}

    @described("getTargetHealth", "Show a target's health", answer=TargetHealthShown)
    def get(self, request: Request, target_id: str) -> Response:
        """As all processes share it, with its history."""
        return self._shown(target_id)

    @described(
        "setTargetHealth",
        "Take a target out of use, or reset it",
        body=TargetHealthWishes,
        answer=TargetHealthShown,
        sent={"state": "held_open", "seconds": 600, "note": "Maintenance at the provider"},
    )
    def put(self, request: Request, target_id: str) -> Response:
        """`held_open` holds for the last target of a model too; `closed` forgets whatever was held against it and has
        its provider asked anew. Targets of the platform are the operator's to set."""
        wishes = self.read(TargetHealthWishes)
        row = find_own(self.organization, target_id)
        if row is None:
            if find_target(self.organization, target_id) is None:
                raise Http404
            raise NotFound("It is no target of this organisation: those of the platform are the operator's to set.")
        if wishes.pop("state") == "held_open":
            health_control.hold_open(self.organization, self.actor, row, **wishes)
        else:
            health_control.reset(self.organization, self.actor, row)
        return self._shown(target_id)

    def _shown(self, target_id: str) -> Response:
        target = find_target(self.organization, target_id)
        if target is None:
            raise Http404
        return Response(TargetHealthShown(told_of(target)).data)


def told_of(target: SeenTarget) -> dict[str, Any]:
    state, pulse = target.state, target.pulse
    if pulse is not None and not target.is_own:
        pulse.detail = ""
    return {
        "id": target.row.public_id,
        "target": target.name,
        "state": state.condition,
        "since": state.since,
        "until": state.until,
        "reason": state.reason,
        "detail": state.detail if target.is_own else "",
        "provider": pulse,
        "history": target.history(),
    }
