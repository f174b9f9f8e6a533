"""`/payouts`: what was paid out, asking for more, and where it goes."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Organization
from accounts.roles import Permission
from billing import freezing, payees, payout_statements
from billing.models import Payee, Payout
from console.api.fields import Body, Flag, Kind, Shown, Text, UsdOfNanos
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described, list_of
from console.api.payments import PageShown

READ, WRITE = (Permission.VIEW_EARNINGS,), (Permission.MANAGE_EARNINGS,)
STATES = [Payout.WAITING, Payout.SENDING, Payout.PAID, Payout.RETURNED]


class PayoutShown(Shown):
    object = Kind("payout")
    id = serializers.CharField(source="public_id")
    amount_usd = serializers.SerializerMethodField()
    state = serializers.ChoiceField(STATES)
    method = serializers.ChoiceField([Payee.STRIPE, Payee.BANK])
    destination = serializers.CharField()
    reference = serializers.CharField(allow_null=True, help_text="Of the transfer, once it is confirmed.")
    reason = serializers.CharField(allow_blank=True, help_text="Why it waits or came back.")
    period = serializers.CharField(source="batch.period", allow_null=True, help_text="Null when it was asked for.")
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)

    def get_amount_usd(self, payout: Payout) -> str:
        return f"{payout.cents // 100}.{payout.cents % 100:02d}"


class PartShown(Shown):
    kind = serializers.CharField()
    amount_usd = UsdOfNanos(source="nanos")
    count = serializers.IntegerField()


class StatementShown(PayoutShown):
    parts = PartShown(many=True, help_text="What came since the payout before.")


class DestinationShown(Shown):
    object = Kind("payout_destination")
    method = serializers.ChoiceField([Payee.STRIPE, Payee.BANK], allow_null=True)
    to = serializers.CharField(allow_blank=True, help_text="An account of Stripe, or the end of a bank account.")
    state = serializers.ChoiceField([Payee.INCOMPLETE, Payee.READY], allow_null=True)
    problem = serializers.CharField(
        allow_blank=True, help_text="Why it is not ready: Stripe's code, or the operator's."
    )
    monthly = serializers.BooleanField(help_text="Paid out each month by itself.")
    payable_usd = UsdOfNanos(help_text="Matured, and not on its way.")
    maturing_usd = UsdOfNanos()


class BankWishes(Body):
    holder = Text(max_length=120)
    account = Text(max_length=60)
    bank = Text(max_length=120)


class MonthlyWishes(Body):
    monthly = Flag()


class OnboardingWishes(Body):
    country = Text(max_length=2, help_text="Two letters.")


class PayoutsView(ResourceView):
    tag = "Payouts"
    needs = {"GET": READ, "POST": WRITE}
    proof = frozenset({"POST"})

    @described("listPayouts", "List payouts", **list_of(PayoutShown))
    def get(self, request: Request) -> Response:
        return self.listed(payout_statements.payouts_of(self.organization), PayoutShown)

    @described("requestPayout", "Ask for a payout of all that is payable", answer=PayoutShown, status=201)
    @idempotent
    def post(self, request: Request) -> Response:
        """What it lacks, `metadata.reason` says: a verified destination, the least amount, none on its way."""
        return Response(PayoutShown(freezing.request(self.organization, self.actor)).data, 201)


class PayoutView(ResourceView):
    tag = "Payouts"
    needs = {"GET": READ}

    @described("getPayout", "Show a payout with its statement", answer=StatementShown)
    def get(self, request: Request, payout_id: str) -> Response:
        payout = self.find(payout_statements.payouts_of(self.organization), public_id=payout_id)
        parts = PartShown(payout_statements.parts(payout), many=True).data
        return Response({**PayoutShown(payout).data, "parts": parts})


class DestinationView(ResourceView):
    tag = "Payouts"
    needs = {"GET": READ, "PUT": WRITE, "PATCH": WRITE}
    proof = frozenset({"PUT"})

    @described("getPayoutDestination", "Show where payouts go", answer=DestinationShown)
    def get(self, request: Request) -> Response:
        return self._answered(payees.payee_of(self.organization))

    @described(
        "setPayoutBank", "Be paid by bank", body=BankWishes, answer=DestinationShown,
        sent={"holder": "Acme Ltd", "account": "DE02 1203 0000 0000 2020 51", "bank": "DKB BYLADEM1001"},
    )  # fmt: skip
    def put(self, request: Request) -> Response:
        """The operator checks it before anything is sent there. Details are kept sealed and never shown again."""
        return self._answered(payees.set_bank(self.organization, self.actor, payees.Bank(**self.read(BankWishes))))

    @described(
        "setPayoutRhythm", "Be paid each month or on request only", body=MonthlyWishes, answer=DestinationShown
    )
    def patch(self, request: Request) -> Response:
        wishes = self.read(MonthlyWishes)
        return self._answered(payees.set_monthly(self.organization, self.actor, wishes["monthly"]))

    def _answered(self, payee: Payee | None) -> Response:
        return Response(_destination(self.organization, payee))


class DestinationCheckView(ResourceView):
    tag = "Payouts"
    needs = {"POST": WRITE}

    @described("checkPayoutDestination", "Ask Stripe about the destination again", answer=DestinationShown)
    def post(self, request: Request) -> Response:
        """It is asked by itself as well, every ten minutes and for each payout. A bank is checked by the operator."""
        return Response(_destination(self.organization, payees.look_again(self.organization, self.actor)))


class OnboardingView(ResourceView):
    tag = "Payouts"
    needs = {"POST": WRITE}
    proof = frozenset({"POST"})

    @described(
        "startPayoutOnboarding", "Be paid through Stripe", body=OnboardingWishes, answer=PageShown, status=201,
        sent={"country": "TH"},
    )  # fmt: skip
    @idempotent
    def post(self, request: Request) -> Response:
        """Where a person says who is paid and where to. It is verified there."""
        country = self.read(OnboardingWishes)["country"]
        return Response(PageShown({"url": payees.onboard(self.organization, self.actor, country, "")}).data, 201)


def _destination(organization: Organization, payee: Payee | None) -> dict[str, Any]:
    standing = payout_statements.standing(organization)
    shown: dict[str, Any] = {
        "method": payee.method if payee else None,
        "to": (payee.stripe_id or payee.hint) if payee else "",
        "state": payee.state if payee else None,
        "problem": payee.problem if payee else "",
        "monthly": payee.is_monthly if payee else True,
        "payable_usd": standing.payable_nanos,
        "maturing_usd": standing.maturing_nanos,
    }
    return dict(DestinationShown(shown).data)
