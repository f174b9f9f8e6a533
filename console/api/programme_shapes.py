"""A programme as the API says it: by percentages of the share, or by the name of a plain one."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.errors import InvalidField
from billing.earnings.models import (
    EXCHANGE,
    MISSION,
    MIXED,
    MOST_DONATED_PERCENT,
    MOST_WEIGHT,
    PROGRAMMES,
    Programme,
)
from console.api.fields import Body, Kind, Shown, Text, Whole

_PERCENT = "Percent of the share."
_PARTS = {"rewards", "exchange", "mission"}
_HOW = "Say `rewards`, `exchange` and `mission`"


class GiftWish(Body):
    cause = Text(max_length=60, help_text="Its id.")
    share = Whole(min_value=1, max_value=100, help_text=_PERCENT)


class ProgrammeWishes(Body):
    """Some of `rewards`, `exchange` and what is given, which come to 100 together; or a plain programme's `kind`.

    What is given is said by `mission`, or by `donated_percent` and `causes`: 10 to 100 % in all, or nothing.
    """

    rewards = Whole(required=False, min_value=0, max_value=100, help_text=f"{_PERCENT} What the others leave.")
    exchange = Whole(required=False, min_value=0, max_value=100, help_text=f"{_PERCENT} Becomes tokens at once.")
    mission = GiftWish(many=True, required=False)
    donated_percent = Whole(
        required=False,
        min_value=0,
        max_value=MOST_DONATED_PERCENT,
        help_text="Instead of `mission`: percent of the share, divided among `causes`.",
    )
    causes = serializers.DictField(
        child=Whole(min_value=1, max_value=MOST_WEIGHT),
        required=False,
        help_text="With `donated_percent`: weights by id.",
    )
    kind = serializers.ChoiceField(
        PROGRAMMES, required=False, help_text="All of the share for one; mission with `donated_percent` and `causes`."
    )

    def validate(self, said: dict[str, Any]) -> dict[str, Any]:
        """Whichever way it was said, one form: that of `programmes.choose`. Raises: InvalidField."""
        return divided(said)


def divided(said: dict[str, Any]) -> dict[str, Any]:
    """As `programmes.choose` takes it. Raises: InvalidField."""
    if "kind" in said:
        if said.keys() & _PARTS:
            raise InvalidField.one("kind", f"{_HOW}, or `kind`, not both.")
        return _plain(said["kind"], said)
    if not said:
        raise InvalidField.one("kind", f"{_HOW}, or `kind`.")
    if "mission" in said and said.keys() & {"donated_percent", "causes"}:
        raise InvalidField.one("mission", "Say either `mission`, or `donated_percent` and `causes`, not both.")
    if said.get("causes") and not said.get("donated_percent"):
        raise InvalidField.one("donated_percent", "Say how much the causes are given.")
    gifts = {gift["cause"]: gift["share"] for gift in said.get("mission", ())}
    if len(gifts) < len(said.get("mission", ())):
        raise InvalidField.one("mission", "Name each cause once.")
    given, exchange = said.get("donated_percent", sum(gifts.values())), said.get("exchange", 0)
    rest = 100 - given - exchange
    if rest < 0 or said.get("rewards", rest) != rest:
        raise InvalidField.one("rewards", "Together they have to come to 100.")
    return _choice(exchange, given, said.get("causes", gifts))


def _plain(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    if kind != MISSION:
        return _choice(100 if kind == EXCHANGE else 0)
    if not said.get("donated_percent"):
        raise InvalidField.one("donated_percent", "Say how much is given.")
    return _choice(0, said["donated_percent"], said.get("causes"))


def _choice(exchanged: int, donated: int = 0, causes: dict[str, int] | None = None) -> dict[str, Any]:
    return {"exchanged_percent": exchanged, "donated_percent": donated, "causes": causes or {}}


class GiftShown(Shown):
    cause = serializers.CharField()
    share = serializers.FloatField(help_text=_PERCENT)


class ProgrammeShown(Shown):
    object = Kind("earnings_programme")
    kind = serializers.ChoiceField([*PROGRAMMES, MIXED])
    rewards = serializers.IntegerField(source="rewarded_percent", help_text=_PERCENT)
    exchange = serializers.IntegerField(source="exchanged_percent", help_text=_PERCENT)
    mission = serializers.SerializerMethodField(help_text="What each cause is given.")
    donated_percent = serializers.IntegerField(help_text="All that is given.")
    causes = serializers.SerializerMethodField(help_text="Weights by id.")
    is_public = serializers.BooleanField(help_text="Whether the leaderboard shows it.")
    public_name = serializers.CharField(allow_blank=True)

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_causes(self, _programme: Programme) -> dict[str, int]:
        return dict(self.context["causes"])

    @extend_schema_field(GiftShown(many=True))
    def get_mission(self, programme: Programme) -> list[dict[str, Any]]:
        weights = self.context["causes"]
        given, all_weights = programme.donated_percent, sum(weights.values())
        return [
            {"cause": cause, "share": round(given * weight / all_weights, 4)} for cause, weight in weights.items()
        ]
