"""`/routes/explain`: who would serve a call, in which order, and why the others would not. Nothing is called."""

from __future__ import annotations

import msgspec
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.fields import Body, Flag, Kind, Shown, Text, Whole
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described
from console.api.routes import HedgeShown
from providers.endpoints import KINDS
from providers.schema import Call
from providers.targets import CLOUD, GUEST, OWN
from routing.drafts import explain_draft
from routing.explanation import Explanation, Marks, imagined_of_kind
from routing.models import RouteDraft
from routing.rules import DATA_CLASSES, MOST_TOKENS
from routing.tester import explain_call

NEEDS = ("tools", "json_schema", "vision")


class ExplainWishes(Body):
    model = Text(max_length=300, help_text="A route, a model, `<provider>/<model>`, with a suffix or without.")
    draft = Flag(default=False, help_text="true: as if the draft of this route were live.")
    kind = serializers.ChoiceField(list(KINDS), default="chat")
    prompt_tokens = Whole(min_value=0, max_value=MOST_TOKENS, default=100)
    max_tokens = Whole(min_value=1, max_value=MOST_TOKENS, required=False)
    needs = serializers.ListField(
        child=serializers.ChoiceField(list(NEEDS)), required=False, max_length=len(NEEDS), help_text="Capabilities."
    )
    key = Text(max_length=12, required=False, help_text="As if it came with the key of this id.")
    tags = serializers.ListField(
        child=Text(max_length=200), required=False, max_length=20, help_text="As in `metadata.tags`, for rules."
    )
    data_class = serializers.ChoiceField(list(DATA_CLASSES), required=False)
    headers = serializers.DictField(
        child=Text(max_length=1000, allow_blank=True), required=False, help_text="Headers that rules ask for."
    )


class KeptShown(Shown):
    position = serializers.IntegerField(help_text="1 is tried first.")
    target = serializers.CharField()
    provider = serializers.CharField()
    place = serializers.ChoiceField([CLOUD, OWN, GUEST])
    is_within_attempts = serializers.BooleanField(help_text="false: a call gives up before it comes to this one.")
    estimated_cost_usd = serializers.CharField(allow_null=True, help_text="null: no price is known.")
    first_token_ms = serializers.FloatField(allow_null=True, help_text="As this process measured it; null: not yet.")
    in_flight = serializers.IntegerField()
    simulated = serializers.BooleanField()
    after = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="Tried only after these failures; null: after any."
    )
    can_go_on = serializers.BooleanField(help_text="Whether it could go on with a stream that another one broke off.")


class DroppedShown(Shown):
    target = serializers.CharField()
    reason = serializers.CharField()
    message = serializers.CharField()
    retry_after_s = serializers.FloatField(allow_null=True, help_text="When this could change.")


class RefusalShown(Shown):
    status = serializers.IntegerField()
    code = serializers.CharField()
    message = serializers.CharField()


class ExplanationShown(Shown):
    object = Kind("route.explanation")
    model = serializers.CharField()
    route = serializers.CharField(allow_null=True)
    strategy = serializers.CharField(allow_null=True)
    most_attempts = serializers.IntegerField()
    candidates = KeptShown(many=True)
    dropped = DroppedShown(many=True)
    rule = serializers.IntegerField(allow_null=True, help_text="The rule that decided, from 1; null: none fits.")
    continue_streams = serializers.BooleanField(help_text="A stream that breaks off goes on at a target that can.")
    hedge = HedgeShown(allow_null=True, help_text="When a second target is asked besides the first.")
    refusal = RefusalShown(allow_null=True, help_text="What a call would be answered now, if nobody may serve it.")


class ExplainView(ResourceView):
    tag = "Routes"
    needs = {"POST": (Permission.VIEW,)}

    @described(
        "explainRoute",
        "Explain where a call would go",
        body=ExplainWishes,
        answer=ExplanationShown,
        sent={"model": "fast", "prompt_tokens": 2000, "max_tokens": 500},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """No call is made and nobody's turn is taken. `refusal` is what a call would be answered now instead."""
        wishes = self.read(ExplainWishes)
        call = imagined_of_kind(
            wishes["model"],
            wishes["kind"],
            wishes["prompt_tokens"],
            wishes.get("max_tokens"),
            frozenset(wishes.get("needs", ())),
            Marks(wishes.get("tags", ()), wishes.get("data_class", ""), wishes.get("headers", {})),
        )
        told = self._told(call, wishes.get("key", ""), draft=wishes["draft"])
        return Response(ExplanationShown(msgspec.to_builtins(told)).data)

    def _told(self, call: Call, key_id: str, *, draft: bool) -> Explanation:
        if not draft:
            return explain_call(self.organization, call, key_id)
        drafts = RouteDraft.objects.of(self.organization).select_related("org")
        return explain_draft(self.find(drafts, name=call.models[0]), call, key_id)
