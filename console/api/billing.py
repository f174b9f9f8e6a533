"""`/billing`: the balance, its movements, and ordering credits."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from billing import statements, topups
from billing.models import TopUp
from console.api.fields import Body, Flag, Kind, PageQuery, Shown, SignedUsdOfNanos, Usd, UsdOfNanos
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described, list_of
from console.api.pages import page_of_rows
from console.pages.billing import KINDS, KINDS_OF_TOKENS
from ledger import kinds

ALL_KINDS = sorted({*KINDS, *KINDS_OF_TOKENS})


class BalanceShown(Shown):
    object = Kind("billing_balance")
    available_usd = UsdOfNanos(source="available", help_text="What can be spent now.")
    held_usd = UsdOfNanos(source="held", help_text="Set aside for requests under way.")
    balance_usd = UsdOfNanos(source="total", help_text="Both together.")
    credit_limit_usd = UsdOfNanos(source="limit", help_text="What of it may be spent before it is paid.")
    owed_usd = UsdOfNanos(source="owed", help_text="What of the credit limit is spent.")
    tokens_usd = UsdOfNanos(source="tokens", help_text="What own machines earned for own use.")


class EntryShown(Shown):
    object = Kind("billing_entry")
    id = serializers.IntegerField(source="pk")
    kind = serializers.CharField(help_text=f"{', '.join(ALL_KINDS[:-1])} or {ALL_KINDS[-1]}.")
    amount_usd = SignedUsdOfNanos(source="amount", help_text="Negative for what was taken.")
    balance_usd = UsdOfNanos(source="balance_after", help_text="Of the credits or the tokens, after it.")
    reference = serializers.CharField(source="business_id")
    reason = serializers.CharField(allow_blank=True)
    posted_at = serializers.DateTimeField()


class EntriesQuery(PageQuery):
    kind = serializers.ChoiceField(ALL_KINDS, required=False)
    purse = serializers.ChoiceField(
        ["credits", "tokens"], default="credits", help_text="`tokens`: what own machines earned for own use."
    )


class TopUpWishes(Body):
    amount_usd = Usd(help_text="US dollars in whole cents.")
    keeps_card = Flag(default=False, help_text="Keep the card that pays, for automatic top-ups.")


class TopUpShown(Shown):
    object = Kind("billing_top_up")
    id = serializers.CharField(source="public_id")
    amount_usd = serializers.SerializerMethodField()
    state = serializers.ChoiceField([TopUp.PENDING, TopUp.PAID, TopUp.FAILED])
    is_automatic = serializers.BooleanField()
    failure = serializers.CharField(allow_blank=True, help_text="Why it was declined, where it was.")
    checkout_url = serializers.CharField(allow_blank=True, help_text="Where a person pays it.")
    created_at = serializers.DateTimeField()
    paid_at = serializers.DateTimeField(allow_null=True)

    def get_amount_usd(self, top_up: TopUp) -> str:
        return f"{top_up.cents // 100}.{top_up.cents % 100:02d}"


class BalanceView(ResourceView):
    tag = "Billing"
    needs = {"GET": (Permission.VIEW_BILLING,)}

    @described("getBalance", "Show the balance", answer=BalanceShown)
    def get(self, request: Request) -> Response:
        return Response(BalanceShown(statements.balance(self.organization)).data)


class EntriesView(ResourceView):
    tag = "Billing"
    needs = {"GET": (Permission.VIEW_BILLING,)}

    @described("listBillingEntries", "List movements of the balance", **list_of(EntryShown, query=EntriesQuery))
    def get(self, request: Request) -> Response:
        query = self.query(EntriesQuery)
        purse = kinds.TOKENS if query["purse"] == "tokens" else kinds.WALLET
        rows = statements.entries(self.organization, query.get("kind", ""), purse)
        page = page_of_rows(rows, ["-id"], query.get("cursor"), query["limit"], self.mark())
        return self.answered(page, EntryShown)


class TopUpsView(ResourceView):
    tag = "Billing"
    needs = {"GET": (Permission.VIEW_BILLING,), "POST": (Permission.MANAGE_BILLING,)}

    @described("listTopUps", "List orders of credits", **list_of(TopUpShown))
    def get(self, request: Request) -> Response:
        return self.listed(TopUp.objects.of(self.organization), TopUpShown)

    @described(
        "createTopUp", "Order credits", body=TopUpWishes, answer=TopUpShown, status=201, sent={"amount_usd": "25"}
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """The credits come once the order is paid at `checkout_url`."""
        wishes = self.read(TopUpWishes)
        top_up = topups.order(self.organization, self.actor, **wishes)
        top_up.refresh_from_db()
        return Response(TopUpShown(top_up).data, 201)
