"""Fields and bodies that take what they say and nothing that merely looks like it.

DRF would read "3" as a number and "no" as false; a script that sends those has a mistake which should show.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from rest_framework import serializers

from common.money import usd_from_nanos
from common.numbers import plain


class Text(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"trim_whitespace": False} | options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Whole(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class Number(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return float(data)


class Kind(serializers.Field[Any, Any, str, Any]):
    """The `object` of every answer: always the same word."""

    def __init__(self, word: str) -> None:
        self.word = word
        super().__init__(source="*", read_only=True)

    def to_representation(self, value: object) -> str:
        return self.word


class Usd(serializers.Field[Any, Any, str, Any]):
    """US dollars as a string with all their digits and no exponent. Taken as a string or a JSON number."""

    default_error_messages = {"invalid": 'Give an amount in US dollars as a string, such as "0.15".'}

    def to_internal_value(self, data: Any) -> str:
        if isinstance(data, bool) or not isinstance(data, str | int | float):
            self.fail("invalid")
        return str(data)

    def to_representation(self, value: Decimal) -> str:
        return plain(value)


class UsdOfNanos(Usd):
    def to_representation(self, value: Any) -> str:
        return plain(usd_from_nanos(value))


class SignedUsdOfNanos(UsdOfNanos):
    """What moved: negative for what was taken."""


class Body(serializers.Serializer[Any]):
    """What a request may say. A field of another name is refused, for it is mostly a typing error."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for field in fields.values():
            one = getattr(field, "child", field)
            if isinstance(one, serializers.ChoiceField):
                one.error_messages["invalid_choice"] = "“{input}” is none of: " + ", ".join(map(str, one.choices))
        return fields

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        unknown = data.keys() - self.fields.keys() if isinstance(data, Mapping) else ()
        mistakes: dict[str, Any] = {str(name): ["There is no field of this name."] for name in sorted(unknown)}
        try:
            given: dict[str, Any] = super().to_internal_value(data)
        except serializers.ValidationError as refusal:
            named = cast(dict[str, Any], refusal.detail)
            raise serializers.ValidationError({**named, **mistakes}) from None
        if mistakes:
            raise serializers.ValidationError(mistakes)
        return given


class Query(Body):
    """The parameters of a GET. `from` is a word of Python, so such a field is named `from_` in a class."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {name.rstrip("_"): field for name, field in super().get_fields().items()}


class Shown(serializers.Serializer[Any]):
    """What an answer says. Every field is always there."""


class PageQuery(Query):
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20, help_text="How many to give at most.")
    cursor = serializers.CharField(
        required=False, max_length=1000, help_text="The `next_cursor` of the page before; without it, the first page."
    )
