"""`/staff/vouchers`: codes for credits, made, found, withdrawn and offered again, and who redeemed them."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import vouchers
from billing.models import Voucher, VoucherUse
from console.api.fields import Body, Kind, PageQuery, Shown, Text, UsdOfNanos, Whole
from console.api.idempotency import idempotent
from console.api.pages import page_of_rows
from console.api.staff.access import StaffView
from console.api.staff.shapes import Nanos, Owned

POST = frozenset({"POST"})
LONGEST_CODE = 60


class VoucherShown(Shown):
    """Without its code, which nobody keeps."""

    object = Kind("voucher")
    id = serializers.CharField(source="public_id")
    batch = serializers.SerializerMethodField()
    state = serializers.SerializerMethodField()
    code_ends_with = serializers.CharField(source="hint")
    amount_usd = UsdOfNanos(source="nanos")
    uses = serializers.IntegerField()
    used = serializers.IntegerField()
    redeemed_usd = serializers.SerializerMethodField()
    reason = serializers.CharField()
    made_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    withdrawn_at = serializers.DateTimeField(allow_null=True)
    withdrawn_by = serializers.CharField(allow_blank=True)

    def get_batch(self, voucher: Voucher) -> str | None:
        return voucher.batch or None

    def get_state(self, voucher: Voucher) -> str:
        return vouchers.state_of(voucher)

    def get_redeemed_usd(self, voucher: Voucher) -> str:
        return UsdOfNanos().to_representation(voucher.nanos * voucher.used)


class UseShown(Owned):
    object = Kind("voucher_use")
    voucher = serializers.CharField(source="voucher.public_id")
    amount_usd = UsdOfNanos(source="voucher.nanos")
    redeemed_at = serializers.DateTimeField(source="used_at")


class VouchersQuery(PageQuery):
    q = serializers.CharField(required=False, allow_blank=True, max_length=120)
    state = serializers.ChoiceField(vouchers.STATES, required=False)


class UsesQuery(PageQuery):
    voucher = serializers.CharField(required=False, max_length=40)
    batch = serializers.CharField(required=False, max_length=40)


class VoucherWishes(Body):
    """`code`: of one's own choice, for one voucher; without it each has one that nobody can guess."""

    amount_usd = Nanos()
    count = Whole(default=1, min_value=1, max_value=vouchers.MOST_AT_ONCE)
    uses = Whole(default=1, min_value=1, max_value=vouchers.MOST_USES)
    reason = Text(max_length=vouchers.LONGEST_REASON)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    code = Text(max_length=LONGEST_CODE, required=False, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["code"] and attrs["count"] > 1:
            raise serializers.ValidationError({"code": ["A code of your own is one code: make 1."]})
        return attrs


class VouchersView(StaffView):
    methods = frozenset({"GET", "POST"})
    proof = POST

    def get(self, request: Request) -> Response:
        """The newest first."""
        query = self.query(VouchersQuery)
        rows = vouchers.found(query.get("q", ""), query.get("state", ""))
        page = page_of_rows(rows, ["-id"], query.get("cursor"), query["limit"], self.mark())
        return self.answered(page, VoucherShown)

    @idempotent
    def post(self, request: Request) -> Response:
        """The only answer that tells the codes, and for a day the same one to the same `Idempotency-Key`."""
        said = self.read(VoucherWishes)
        about = {name: said[name] for name in ("uses", "reason", "expires_at")}
        if said["code"]:
            made = [vouchers.make(said["amount_usd"], self.actor, **about, code=said["code"])]
        else:
            made = vouchers.make_batch(said["count"], said["amount_usd"], self.actor, **about)
        told = [{**VoucherShown(one.voucher).data, "code": one.code} for one in made]
        return Response({"object": "voucher_batch", "batch": made[0].voucher.batch or None, "data": told}, 201)


class _VoucherView(StaffView):
    def answered_of(self, voucher_id: str) -> Response:
        return Response(VoucherShown(self.find(Voucher.objects.all(), public_id=voucher_id)).data)


class VoucherView(_VoucherView):
    methods = frozenset({"GET"})

    def get(self, request: Request, voucher_id: str) -> Response:
        return self.answered_of(voucher_id)


class VoucherWithdrawView(_VoucherView):
    methods = POST

    @idempotent
    def post(self, request: Request, voucher_id: str) -> Response:
        """What was redeemed stays."""
        vouchers.withdraw(voucher_id, self.actor)
        return self.answered_of(voucher_id)


class VoucherOfferView(_VoucherView):
    methods = POST

    @idempotent
    def post(self, request: Request, voucher_id: str) -> Response:
        """Takes a withdrawal back."""
        vouchers.offer_again(voucher_id, self.actor)
        return self.answered_of(voucher_id)


class VoucherBatchWithdrawView(StaffView):
    methods = POST

    @idempotent
    def post(self, request: Request, batch: str) -> Response:
        """All of it that is not withdrawn yet."""
        if not Voucher.objects.filter(batch=batch).exists():
            raise Http404
        return Response(
            {"object": "voucher_batch", "batch": batch, "withdrawn": vouchers.withdraw_batch(batch, self.actor)}
        )


class VoucherUsesView(StaffView):
    methods = frozenset({"GET"})

    def get(self, request: Request) -> Response:
        """Who redeemed which, the newest first."""
        query = self.query(UsesQuery)
        named = {"voucher": "voucher__public_id", "batch": "voucher__batch"}
        lookups = {lookup: query[name] for name, lookup in named.items() if name in query}
        rows = VoucherUse.objects.filter(**lookups).select_related("org", "voucher")
        page = page_of_rows(rows, ["-id"], query.get("cursor"), query["limit"], self.mark())
        return self.answered(page, UseShown)
