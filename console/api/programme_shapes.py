"""A programme as the API says it: by its kind, or by what of the share goes where: the same said otherwise."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.errors import InvalidField
from billing.earnings.models import (
    EXCHANGE,
    LEAST_DONATED_PERCENT,
    MISSION,
    MOST_DONATED_PERCENT,
    MOST_WEIGHT,
    PROGRAMMES,
    REWARDS,
    Programme,
)
from console.api.fields import Body, Kind, Shown, Text, Whole

_PERCENT = "Percent of the share."


class ProgrammeChoice(Body):
    kind = serializers.ChoiceField(PROGRAMMES)
    donated_percent = Whole(
        required=False,
        min_value=LEAST_DONATED_PERCENT,
        max_value=MOST_DONATED_PERCENT,
        help_text="With `kind`, for mission only.",
    )
    causes = serializers.DictField(
        child=Whole(min_value=1, max_value=MOST_WEIGHT),
        required=False,
        help_text="With `kind`, for mission: weights by id.",
    )


class GiftWish(Body):
    cause = Text(max_length=60, help_text="Its id.")
    share = Whole(min_value=1, max_value=100, help_text=_PERCENT)


class ProgrammeWishes(ProgrammeChoice):
    """Either `kind`, or some of `rewards`, `exchange` and `mission`, which come to 100 together."""

    kind = serializers.ChoiceField(PROGRAMMES, required=False)
    rewards = Whole(required=False, min_value=0, max_value=100, help_text=f"{_PERCENT} What the others leave.")
    exchange = Whole(required=False, min_value=0, max_value=100, help_text=f"{_PERCENT} All of it, or nothing.")
    mission = GiftWish(many=True, required=False)


def chosen(said: dict[str, Any]) -> dict[str, Any]:
    """As `programmes.choose` takes it. Raises: InvalidField."""
    parts = said.keys() & {"rewards", "exchange", "mission"}
    if not parts:
        if "kind" not in said:
            raise InvalidField.one("kind", "Say `kind`, or `rewards`, `exchange` and `mission`.")
        return said
    if "kind" in said or "causes" in said or "donated_percent" in said:
        raise InvalidField.one("kind", "Say either `kind`, or `rewards`, `exchange` and `mission`, not both.")
    gifts = {gift["cause"]: gift["share"] for gift in said.get("mission", ())}
    if len(gifts) < len(said.get("mission", ())):
        raise InvalidField.one("mission", "Name each cause once.")
    given, exchange = sum(gifts.values()), said.get("exchange", 0)
    if exchange not in (0, 100):
        raise InvalidField.one("exchange", "Exchange takes all of the share or nothing of it: 100 or 0.")
    rest = 100 - given - exchange
    if rest < 0 or said.get("rewards", rest) != rest:
        raise InvalidField.one("rewards", "Together they have to come to 100.")
    if gifts:
        return {"kind": MISSION, "donated_percent": given, "causes": gifts}
    return {"kind": EXCHANGE if exchange else REWARDS}


class GiftShown(Shown):
    cause = serializers.CharField()
    share = serializers.FloatField(help_text=_PERCENT)


class ProgrammeShown(Shown):
    object = Kind("earnings_programme")
    kind = serializers.ChoiceField(PROGRAMMES)
    donated_percent = serializers.IntegerField()
    causes = serializers.SerializerMethodField()
    rewards = serializers.SerializerMethodField(help_text=_PERCENT)
    exchange = serializers.SerializerMethodField(help_text=_PERCENT)
    mission = serializers.SerializerMethodField()
    is_public = serializers.BooleanField(help_text="Whether the leaderboard shows it.")
    public_name = serializers.CharField(allow_blank=True)

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_causes(self, _programme: Programme) -> dict[str, int]:
        return dict(self.context["causes"])

    def get_rewards(self, programme: Programme) -> int:
        return 0 if programme.kind == EXCHANGE else 100 - self._given(programme)

    def get_exchange(self, programme: Programme) -> int:
        return 100 if programme.kind == EXCHANGE else 0

    @extend_schema_field(GiftShown(many=True))
    def get_mission(self, programme: Programme) -> list[dict[str, Any]]:
        weights = self.context["causes"]
        given, all_weights = self._given(programme), sum(weights.values())
        return [
            {"cause": cause, "share": round(given * weight / all_weights, 4)}
            for cause, weight in weights.items()
            if given
        ]

    def _given(self, programme: Programme) -> int:
        return programme.donated_percent if programme.kind == MISSION else 0
