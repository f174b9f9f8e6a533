"""What requests about earnings may say, and what answers say."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.earnings import cases
from billing.earnings.cases import LONGEST_ANSWER
from billing.earnings.causes import Total
from billing.earnings.models import MOST_DONATED_PERCENT, PROGRAMMES, Case, Cause, Lot
from billing.earnings.programmes import LONGEST_PUBLIC_NAME
from common.money import MAX_NANOS
from console.api.fields import Body, Flag, Kind, Query, Shown, Text, UsdOfNanos
from nodes.models import NodeDoubt, NodeModel

_NANOS = UsdOfNanos()


class BalancesShown(Shown):
    escrow_usd = UsdOfNanos(source="escrow", help_text="Waits to mature.")
    available_usd = UsdOfNanos(source="available", help_text="May be paid out.")
    paid_out_usd = UsdOfNanos(source="paid_out")
    tokens_usd = UsdOfNanos(source="tokens", help_text="Left of what was exchanged.")
    donated_usd = UsdOfNanos(source="donated", help_text="Given to causes so far.")


class TrustShown(Shown):
    percent = serializers.FloatField(help_text="Of the requests of 30 days, those without doubt.")
    requests_missing = serializers.IntegerField(help_text="So many more must be answered before anything matures.")
    suffices = serializers.BooleanField()


class MaturingShown(Shown):
    on = serializers.DateField()
    amount_usd = UsdOfNanos(source="nanos")
    held_usd = UsdOfNanos(source="held", help_text="Of it, what waits for a case.")


class EarningsShown(Shown):
    object = Kind("earnings")
    balances = BalancesShown()
    trust = TrustShown()
    exposure_percent = serializers.IntegerField(help_text="Weight among equal candidates; 100 is plain.")
    badges = serializers.ListField(child=serializers.CharField())
    maturing = MaturingShown(many=True)


class LotShown(Shown):
    """What one model of one machine earned on one day (UTC)."""

    object = Kind("earnings_lot")
    day = serializers.DateField()
    node = serializers.SerializerMethodField(help_text="The machine's id; empty if it is gone.")
    model = serializers.SerializerMethodField()
    requests = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    paid_usd = UsdOfNanos(source="paid", help_text="What callers paid.")
    earned_usd = UsdOfNanos(source="earned", help_text="The owner's share of it.")
    escrow_usd = UsdOfNanos(source="escrow")
    exchanged_usd = UsdOfNanos(source="exchanged")
    donated_usd = UsdOfNanos(source="donated")
    matured_usd = UsdOfNanos(source="matured")
    taken_back_usd = UsdOfNanos(source="taken")
    matures_on = serializers.SerializerMethodField()

    def get_node(self, lot: Lot) -> str:
        return str(self.context["names"].get(lot.target_id, ("", "", ""))[1])

    def get_model(self, lot: Lot) -> str:
        return str(self.context["names"].get(lot.target_id, ("", "", ""))[2])

    @extend_schema_field(serializers.DateField())
    def get_matures_on(self, lot: Lot) -> str:
        return str(self.context["matures_on"](lot.day).isoformat())


class RecognitionWishes(Body):
    is_public = Flag()
    public_name = Text(required=False, allow_blank=True, max_length=LONGEST_PUBLIC_NAME)


class PreviewQuery(Query):
    exchange = serializers.IntegerField(required=False, min_value=0, max_value=100, help_text="Percent of the share.")
    donated_percent = serializers.IntegerField(required=False, min_value=0, max_value=MOST_DONATED_PERCENT)
    causes = serializers.CharField(
        required=False, allow_blank=True, max_length=1000, help_text="`slug:weight`, divided by commas."
    )
    kind = serializers.ChoiceField(PROGRAMMES, required=False, help_text="Instead of `exchange`.")
    amount_nanos = serializers.IntegerField(
        required=False, min_value=0, max_value=MAX_NANOS // 1_000_000, help_text="1e-9 USD; a dollar without it."
    )


class PreviewShown(Shown):
    object = Kind("earnings_preview")
    paid_usd = UsdOfNanos(source="paid")
    fee_usd = UsdOfNanos(source="fee")
    escrow_usd = UsdOfNanos(source="share.escrow")
    exchanged_usd = UsdOfNanos(source="share.exchanged")
    donated_usd = serializers.SerializerMethodField()

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_donated_usd(self, _preview: Any) -> dict[str, str]:
        return {slug: _NANOS.to_representation(nanos) for slug, nanos in self.context["donated"].items()}


class DoubtShown(Shown):
    kind = serializers.CharField(
        help_text="more_than_bytes, inflated, prompt_inflated, too_fast, wrong_answer or no_answer."
    )
    times = serializers.IntegerField()
    said_tokens = serializers.IntegerField()
    counted_tokens = serializers.IntegerField()
    request_id = serializers.CharField(allow_blank=True, help_text="The last of these.")


class CaseShown(Shown):
    object = Kind("earnings_case")
    id = serializers.CharField(source="public_id")
    node = serializers.CharField(source="node.public_id")
    model = serializers.CharField(source="upstream_id")
    day = serializers.DateField(source="lot.day")
    state = serializers.ChoiceField([Case.OPEN, Case.ANSWERED, Case.UPHELD, Case.DISMISSED])
    doubts = serializers.SerializerMethodField()
    earned_usd = UsdOfNanos(source="lot.earned")
    taken_back_usd = UsdOfNanos(source="taken")
    opened_at = serializers.DateTimeField()
    answer_until = serializers.DateTimeField()
    answer = serializers.CharField(allow_blank=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    note = serializers.CharField(allow_blank=True, help_text="Why it was decided so.")

    @extend_schema_field(DoubtShown(many=True))
    def get_doubts(self, case: Case) -> Any:
        return DoubtShown(self.doubts_of(case), many=True).data

    def doubts_of(self, case: Case) -> Collection[NodeDoubt]:
        return list(cases.doubts_behind(case.lot))


class Answer(Body):
    answer = Text(max_length=LONGEST_ANSWER)


class PriceVersionShown(Shown):
    version = serializers.IntegerField()
    input_price = UsdOfNanos(source="input_nanos", help_text="USD per million tokens.")
    output_price = UsdOfNanos(source="output_nanos")
    valid_from = serializers.DateTimeField()
    valid_until = serializers.DateTimeField(allow_null=True)


class ModelPricesShown(Shown):
    node = serializers.CharField(source="model.node.public_id")
    upstream_id = serializers.CharField(source="model.upstream_id")
    model = serializers.SerializerMethodField()
    versions = PriceVersionShown(many=True, help_text="The newest, which is in force, first.")

    def get_model(self, row: dict[str, Any]) -> str:
        model: NodeModel = row["model"]
        return model.model_id


class PricesShown(Shown):
    object = Kind("node_prices")
    least_usd = serializers.SerializerMethodField(help_text="The operator's bounds.")
    most_usd = serializers.SerializerMethodField()
    models = ModelPricesShown(many=True)

    def get_least_usd(self, _row: Any) -> str:
        return _bound(settings.NODE_PRICE_LEAST_USD)

    def get_most_usd(self, _row: Any) -> str:
        return _bound(settings.NODE_PRICE_MOST_USD)


class CauseShown(Shown):
    object = Kind("cause")
    id = serializers.CharField(source="slug")
    name = serializers.CharField()
    summary = serializers.CharField()
    about = serializers.CharField(allow_blank=True)
    website = serializers.CharField(allow_blank=True)
    is_open = serializers.SerializerMethodField()
    given_usd = serializers.SerializerMethodField(help_text="So far, by the ledger.")
    paid_usd = serializers.SerializerMethodField(help_text="Of it, what was paid to it.")

    def get_is_open(self, cause: Cause) -> bool:
        return cause.closed_at is None

    def get_given_usd(self, cause: Cause) -> str:
        return _NANOS.to_representation(self._total(cause).given)

    def get_paid_usd(self, cause: Cause) -> str:
        return _NANOS.to_representation(self._total(cause).paid_out)

    def _total(self, cause: Cause) -> Total:
        found: Total = self.context["totals"].get(cause.pk, Total())
        return found


def _bound(usd: float) -> str:
    return f"{usd:g}"
