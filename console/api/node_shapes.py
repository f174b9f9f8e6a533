"""What requests about machines may say, and what answers say."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from console.api.fields import Body, Flag, Kind, Number, Shown, Text, Usd, UsdOfNanos, Whole
from console.api.provider_shapes import TIERS
from nodes.enrolment import LONGEST_TTL_S, MOST_MACHINES, SHORTEST_TTL_S, SINGLE_TTL_S
from nodes.ladder import DONE, FAILED, WAITING, facts_of, ladder, why_not_routable
from nodes.models import MODES, MOST_CONCURRENT, VISIBILITIES, EnrolmentToken, Node
from nodes.states import STATUSES, status_of
from nodes.wishes import (
    LONGEST_NAME,
    LONGEST_QUIET_MINUTES,
    MOST_GUESTS,
    MOST_HOURS,
    MOST_MODELS,
    MOST_PRIORITY,
    MOST_TAGS,
)
from providers.tiers import MOST_TIERS


class CommandsShown(Shown):
    """What to run on the machine, by platform."""

    ubuntu = serializers.CharField()
    macos = serializers.CharField()
    windows = serializers.CharField()
    docker = serializers.CharField()


class NodeTokenShown(Shown):
    object = Kind("node_token")
    id = serializers.CharField(source="public_id")
    count = serializers.IntegerField(help_text="So many machines it lets in.")
    used = serializers.IntegerField()
    status = serializers.SerializerMethodField(help_text="open, used, expired, revoked")
    created_by = serializers.EmailField(source="created_by.email", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    def get_status(self, token: EnrolmentToken) -> str:
        return token.status(self.context["now"])


class CreatedNodeTokenShown(NodeTokenShown):
    token = serializers.SerializerMethodField(help_text="The token itself. It is shown this once.")
    command = serializers.SerializerMethodField()

    def get_token(self, token: EnrolmentToken) -> str:
        return str(self.context["plain"])

    @extend_schema_field(CommandsShown)
    def get_command(self, token: EnrolmentToken) -> Any:
        return CommandsShown(self.context["commands"]).data


class NewNodeToken(Body):
    count = Whole(default=1, min_value=1, max_value=MOST_MACHINES, help_text="More than one is for a fleet.")
    ttl_s = Whole(default=SINGLE_TTL_S, min_value=SHORTEST_TTL_S, max_value=LONGEST_TTL_S)


class MachineTierShown(Shown):
    above_tokens = serializers.IntegerField()
    input_price = serializers.CharField()
    output_price = serializers.CharField()


class NodeModelShown(Shown):
    id = serializers.CharField(source="model_id", help_text="The public name.")
    upstream_id = serializers.CharField(help_text="As the machine calls it.")
    runtime = serializers.CharField()
    kind = serializers.CharField()
    advertised = serializers.BooleanField(help_text="Whether callers may use it.")
    for_others = serializers.BooleanField(
        help_text="Whether other organisations may, where they may use the machine."
    )
    present = serializers.BooleanField(help_text="Whether the machine has it now.")
    capabilities = serializers.ListField(child=serializers.CharField())
    context_tokens = serializers.IntegerField(allow_null=True)
    input_price = UsdOfNanos(source="input_price_nanos", help_text="US dollars for a million tokens.")
    output_price = UsdOfNanos(source="output_price_nanos")
    price_tiers = MachineTierShown(many=True, help_text=TIERS)
    price_version = serializers.IntegerField()
    tokens_per_s = serializers.FloatField(allow_null=True)
    first_token_ms = serializers.FloatField(allow_null=True)
    trial_ok = serializers.BooleanField(allow_null=True, help_text="null: its test prompt was not asked yet.")


class HoursShown(Shown):
    days = serializers.ListField(child=serializers.IntegerField(), help_text="0 is Monday.")
    to = serializers.CharField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": serializers.CharField()}


class ReasonShown(Shown):
    code = serializers.CharField()
    message = serializers.CharField()
    fix = serializers.CharField(allow_blank=True)


class RungShown(Shown):
    code = serializers.CharField()
    state = serializers.ChoiceField([DONE, FAILED, WAITING])
    fix = serializers.CharField(allow_blank=True)


class NodeShown(Shown):
    object = Kind("node")
    id = serializers.CharField(source="public_id")
    slug = serializers.CharField(help_text="`node/<slug>/<model>` pins it.")
    name = serializers.CharField()
    status = serializers.SerializerMethodField(help_text=", ".join(STATUSES))
    routable = serializers.SerializerMethodField()
    reasons = serializers.SerializerMethodField(help_text="Why it gets no work; empty when it may.")
    ladder = serializers.SerializerMethodField(help_text="How far it has come, step by step.")
    models = NodeModelShown(many=True, source="served_models.all")
    in_flight = serializers.SerializerMethodField()
    queue = serializers.SerializerMethodField()
    os = serializers.CharField()
    os_version = serializers.CharField(allow_blank=True)
    arch = serializers.CharField(allow_blank=True)
    hostname = serializers.CharField(allow_blank=True)
    version = serializers.CharField(help_text="Of the agent.")
    tags = serializers.ListField(child=serializers.CharField())
    visibility = serializers.ChoiceField(VISIBILITIES)
    shared_with = serializers.SerializerMethodField(help_text="Short names of organisations.")
    paused = serializers.BooleanField()
    max_concurrent = serializers.IntegerField()
    priority = serializers.IntegerField(help_text="Lower is tried first.")
    advertise_new = serializers.BooleanField(help_text="Whether models that it finds later are offered.")
    mode = serializers.ChoiceField(MODES)
    quiet_minutes = serializers.IntegerField()
    gpu_below = serializers.FloatField()
    calendar = HoursShown(many=True)
    time_zone = serializers.CharField()
    created_at = serializers.DateTimeField()
    first_seen_at = serializers.DateTimeField(allow_null=True)
    last_seen_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)

    def get_status(self, node: Node) -> str:
        return status_of(node, self.context["presences"].get(node.public_id))

    def get_routable(self, node: Node) -> bool:
        return not why_not_routable(self._facts(node))

    @extend_schema_field(ReasonShown(many=True))
    def get_reasons(self, node: Node) -> Any:
        return ReasonShown(why_not_routable(self._facts(node)), many=True).data

    @extend_schema_field(RungShown(many=True))
    def get_ladder(self, node: Node) -> Any:
        return RungShown(ladder(self._facts(node)), many=True).data

    def get_in_flight(self, node: Node) -> int:
        presence = self.context["presences"].get(node.public_id)
        return presence.in_flight if presence else 0

    def get_queue(self, node: Node) -> int:
        presence = self.context["presences"].get(node.public_id)
        return presence.queue if presence else 0

    def get_shared_with(self, node: Node) -> list[str]:
        return sorted(share.guest.slug for share in node.shares.all())

    def _facts(self, node: Node) -> Any:
        return facts_of(node, self.context["presences"].get(node.public_id), self.context["out_of_use"])


class MachineTierWish(Body):
    above_tokens = Whole(min_value=1)
    input_price = Usd()
    output_price = Usd()


class NodeModelWishes(Body):
    upstream_id = Text(max_length=200)
    id = Text(max_length=200, required=False, help_text="The public name.")
    advertised = Flag(required=False)
    for_others = Flag(required=False)
    input_price = Usd(required=False, help_text="US dollars for a million tokens, within the operator's bounds.")
    output_price = Usd(required=False)
    price_tiers = serializers.ListField(
        child=MachineTierWish(), required=False, max_length=MOST_TIERS, help_text=f"The whole list. {TIERS}"
    )


class HoursWishes(Body):
    days = serializers.ListField(child=Whole(min_value=0, max_value=6), min_length=1, max_length=7)
    to = Text(max_length=5)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": Text(max_length=5)}


class NodeChanges(Body):
    name = Text(max_length=LONGEST_NAME)
    tags = serializers.ListField(
        child=Text(max_length=40), max_length=MOST_TAGS, help_text="The whole list; for finding and grouping only."
    )
    visibility = serializers.ChoiceField(VISIBILITIES)
    shared_with = serializers.ListField(
        child=Text(max_length=60), max_length=MOST_GUESTS, help_text="The whole list, by short names."
    )
    models = serializers.ListField(
        child=NodeModelWishes(), max_length=MOST_MODELS, help_text="Those to change; others stay as they are."
    )
    max_concurrent = Whole(min_value=1, max_value=MOST_CONCURRENT)
    priority = Whole(min_value=1, max_value=MOST_PRIORITY)
    advertise_new = Flag()
    mode = serializers.ChoiceField(MODES)
    quiet_minutes = Whole(min_value=1, max_value=LONGEST_QUIET_MINUTES)
    gpu_below = Number(min_value=0.001, max_value=1)
    calendar = serializers.ListField(child=HoursWishes(), max_length=MOST_HOURS, help_text="Empty: at any time.")
    time_zone = Text(max_length=60, help_text="An IANA name such as Asia/Bangkok.")
