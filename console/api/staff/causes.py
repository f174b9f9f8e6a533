"""`/staff/causes`: those that owners may give to, added, changed, closed, and what was paid to them."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.earnings import causes
from billing.earnings.models import Cause
from console.api.earning_shapes import CauseShown
from console.api.fields import Body, Text, UsdOfNanos
from console.api.idempotency import idempotent
from console.api.staff.access import StaffView
from console.api.staff.shapes import Nanos

POST = frozenset({"POST"})


class StaffCauseShown(CauseShown):
    owed_usd = serializers.SerializerMethodField()
    givers = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)

    def get_owed_usd(self, cause: Cause) -> str:
        return UsdOfNanos().to_representation(self._total(cause).owed)

    def get_givers(self, cause: Cause) -> int:
        """Owners who give to it now."""
        return self._total(cause).givers


class CauseWishes(Body):
    name = Text(max_length=120)
    summary = Text(max_length=240)
    about = Text(max_length=4000, required=False, allow_blank=True)
    website = Text(max_length=300, required=False, allow_blank=True)


class CausePayment(Body):
    amount_usd = Nanos()
    reference = Text(max_length=80)


class _CausesView(StaffView):
    def cause(self, slug: str) -> Cause:
        return self.find(Cause.objects.all(), slug=slug)

    def answered_of(self, cause: Cause, status: int = 200) -> Response:
        return Response(StaffCauseShown(cause, context={"totals": causes.totals()}).data, status)


class CausesView(_CausesView):
    methods = frozenset({"GET", "POST"})

    def get(self, request: Request) -> Response:
        """Closed ones too."""
        return self.answered(self.page(Cause.objects.all(), ["slug"]), StaffCauseShown, totals=causes.totals())

    @idempotent
    def post(self, request: Request) -> Response:
        """Its page is public at once."""
        return self.answered_of(causes.add(self.read(CauseWishes), self.actor), 201)


class CauseView(_CausesView):
    methods = frozenset({"GET", "PATCH"})

    def get(self, request: Request, cause_id: str) -> Response:
        """With what was given to it in each month, the newest first."""
        cause = self.cause(cause_id)
        months = [
            {"month": f"{month:%Y-%m}", "given_usd": UsdOfNanos().to_representation(nanos)}
            for month, nanos in causes.per_month(cause)
        ]
        return Response({**self.answered_of(cause).data, "months": months})

    def patch(self, request: Request, cause_id: str) -> Response:
        """What is not said stays, and its id in any case."""
        return self.answered_of(causes.edit(self.cause(cause_id), self.read(CauseWishes, partial=True), self.actor))


class CauseCloseView(_CausesView):
    methods = POST

    @idempotent
    def post(self, request: Request, cause_id: str) -> Response:
        """Nothing more goes to it; what it was given stays its own, its page too."""
        return self.answered_of(causes.close(self.cause(cause_id), self.actor))


class CauseReopenView(_CausesView):
    methods = POST

    @idempotent
    def post(self, request: Request, cause_id: str) -> Response:
        return self.answered_of(causes.reopen(self.cause(cause_id), self.actor))


class CausePaymentsView(_CausesView):
    methods = proof = POST

    @idempotent
    def post(self, request: Request, cause_id: str) -> Response:
        """Notes what the operator's bank has paid to it: once for each reference, 200 where it was noted before."""
        cause, said = self.cause(cause_id), self.read(CausePayment)
        posted = causes.pay(cause, said["amount_usd"], said["reference"], self.actor)
        return self.answered_of(cause, 201 if posted.is_new else 200)
