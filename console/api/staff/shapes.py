"""What the operator's scripts may say, and what they are answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from rest_framework import serializers

from billing import concerns
from billing.earnings import cases
from billing.earnings.models import Case
from billing.models import Concern, Payee, Payout
from common.money import AmountInvalid, nanos_from_usd, usd_text
from console.api.earning_shapes import CaseShown
from console.api.fields import Body, Flag, Kind, PageQuery, Shown, Text, Usd, UsdOfNanos
from console.api.provider_shapes import PriceTierWish, ProviderModelShown
from nodes.models import NodeDoubt
from providers.tiers import MOST_TIERS

LONGEST_NOTE = 300
LONGEST_REASON = 80


class Nanos(Usd):
    """An amount in US dollars, taken in nano-USD."""

    def to_internal_value(self, data: Any) -> int:  # type: ignore[override]
        try:
            return nanos_from_usd(Decimal(super().to_internal_value(data)))
        except (InvalidOperation, AmountInvalid):
            self.fail("invalid")


class SoldModelShown(ProviderModelShown):
    object = Kind("sold_model")
    id = serializers.CharField(source="public_id")
    model = serializers.CharField(source="model_id")
    provider = serializers.CharField(source="connection.slug")


class VersionShown(Shown):
    """US dollars for a million tokens, and for a request; `finer` as it is kept, in nano-USD."""

    version = serializers.IntegerField()
    valid_from = serializers.DateTimeField()
    valid_until = serializers.DateTimeField(allow_null=True)
    input_price = UsdOfNanos(source="input_nanos", allow_null=True)
    cached_input_price = UsdOfNanos(source="cached_input_nanos", allow_null=True)
    output_price = UsdOfNanos(source="output_nanos", allow_null=True)
    request_price = UsdOfNanos(source="request_nanos")
    finer = serializers.JSONField(allow_null=True)


class PriceWishes(Body):
    """Both `input_price` and `output_price` null: the catalogue's price again, if it has one."""

    input_price = Usd(required=False, allow_null=True)
    cached_input_price = Usd(required=False, allow_null=True)
    output_price = Usd(required=False, allow_null=True)
    request_price = Usd(required=False, allow_null=True)
    cache_write_price = Usd(required=False, allow_null=True)
    audio_input_price = Usd(required=False, allow_null=True)
    reasoning_price = Usd(required=False, allow_null=True)
    audio_output_price = Usd(required=False, allow_null=True)
    price_tiers = serializers.ListField(child=PriceTierWish(), required=False, max_length=MOST_TIERS)


class Owned(Shown):
    organization = serializers.CharField(source="org.public_id")
    organization_name = serializers.CharField(source="org.name")


class StaffCaseShown(CaseShown, Owned):
    refunded_usd = UsdOfNanos(source="refunded")
    at_stake_usd = serializers.SerializerMethodField()
    decided_by = serializers.CharField(allow_blank=True)

    def doubts_of(self, case: Case) -> Collection[NodeDoubt]:
        found: Mapping[int, Collection[NodeDoubt]] = self.context["doubts"]
        return found[case.lot_id]

    def get_at_stake_usd(self, case: Case) -> str | None:
        """What upholding it would take of the owner's share; null once it is decided."""
        if not case.is_pending:
            return None
        share = cases.share_at_stake(case.lot, self.doubts_of(case))
        return usd_text(case.lot.earned * share.numerator // share.denominator)


class CasesQuery(PageQuery):
    state = serializers.ChoiceField([Case.OPEN, Case.ANSWERED, Case.UPHELD, Case.DISMISSED], required=False)


class Verdict(Body):
    verdict = serializers.ChoiceField(["uphold", "dismiss"])
    note = Text(max_length=LONGEST_NOTE, required=False, allow_blank=True, default="")


class BankPayoutShown(Owned):
    object = Kind("bank_payout")
    id = serializers.CharField(source="public_id")
    state = serializers.ChoiceField([Payout.WAITING, Payout.SENDING, Payout.PAID, Payout.RETURNED])
    period = serializers.CharField(source="batch.period", allow_null=True)
    amount_usd = serializers.SerializerMethodField()
    came_back_usd = serializers.SerializerMethodField()
    destination = serializers.CharField()
    reference = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)

    def get_amount_usd(self, payout: Payout) -> str:
        return f"{payout.cents / 100:.2f}"

    def get_came_back_usd(self, payout: Payout) -> str:
        return f"{payout.reversed_cents / 100:.2f}"


class PayoutsQuery(PageQuery):
    state = serializers.ChoiceField([Payout.WAITING, Payout.SENDING, Payout.PAID, Payout.RETURNED], required=False)


class Paid(Body):
    reference = Text(max_length=70)


class Failed(Body):
    reason = Text(max_length=LONGEST_REASON)


class BankShown(Owned):
    object = Kind("bank")
    state = serializers.ChoiceField([Payee.INCOMPLETE, Payee.READY])
    hint = serializers.CharField()
    problem = serializers.CharField(allow_blank=True)
    updated_at = serializers.DateTimeField()


class Judgement(Body):
    """`seen` is that of the details which were read; without it none can be found right."""

    is_right = Flag()
    seen = Text(max_length=64, required=False)
    problem = Text(max_length=200, required=False, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["is_right"] and not attrs["problem"].strip():
            raise serializers.ValidationError({"problem": ["Say what is wrong: the organisation reads it."]})
        if attrs["is_right"] and "seen" not in attrs:
            raise serializers.ValidationError({"seen": ["Give the `seen` of the details that you have read."]})
        return attrs


class ConcernShown(Shown):
    object = Kind("concern")
    id = serializers.IntegerField(source="pk")
    kind = serializers.CharField()
    subject = serializers.CharField(help_text="What it is about, as its kind says it.")
    organization = serializers.SerializerMethodField()
    requests = serializers.SerializerMethodField()
    raised_at = serializers.DateTimeField()
    done_at = serializers.DateTimeField(allow_null=True)
    done_by = serializers.CharField(allow_blank=True)

    def get_organization(self, concern: Concern) -> str | None:
        found: str | None = self.context["organizations"].get(concern.org_id)
        return found

    def get_requests(self, concern: Concern) -> int | None:
        """How many requests were not charged, where it is about those."""
        return concerns.unsettled_count(concern) if concern.kind == Concern.UNSETTLED else None


class ConcernsQuery(PageQuery):
    done = serializers.BooleanField(default=False)
