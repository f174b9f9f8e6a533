"""`/billing`: the saved card and automatic top-ups, invoices and whom they name, vouchers."""

from __future__ import annotations

from dataclasses import asdict

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from billing import autotopup, cards, details, topups, vouchers
from billing.autotopup import Wishes
from billing.details import Details
from billing.models import AutoTopUp
from console.api.fields import Body, Flag, Kind, Shown, Text, Usd, UsdOfNanos
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described

READ, WRITE = (Permission.VIEW_BILLING,), (Permission.MANAGE_BILLING,)


class CardShown(Shown):
    object = Kind("billing_card")
    brand = serializers.CharField()
    last4 = serializers.CharField()
    expires = serializers.CharField()


class AutoTopUpShown(Shown):
    object = Kind("billing_auto_top_up")
    enabled = serializers.BooleanField()
    threshold_usd = serializers.CharField(allow_null=True)
    amount_usd = serializers.CharField(allow_null=True)
    monthly_cap_usd = serializers.CharField(allow_null=True)
    failures = serializers.IntegerField(help_text="Declines in a row.")
    failure = serializers.CharField(allow_blank=True, help_text="Why the card was declined last.")
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    card = CardShown(allow_null=True)


class AutoTopUpWishes(Body):
    enabled = Flag()
    threshold_usd = Usd(help_text="Buy when less than this is available.")
    amount_usd = Usd(help_text="Buy this much.")
    monthly_cap_usd = Usd(help_text="At most this much in a calendar month, UTC.")


class PageShown(Shown):
    object = Kind("billing_page")
    url = serializers.CharField(help_text="Where a person goes on.")


class InvoiceShown(Shown):
    object = Kind("billing_invoice")
    pdf_url = serializers.CharField(
        allow_blank=True, help_text="Empty where the payment service made none, or none yet."
    )


class DetailsWishes(Body):
    name = Text(max_length=120)
    email = Text(max_length=254, required=False, allow_blank=True)
    line1 = Text(max_length=120, required=False, allow_blank=True)
    line2 = Text(max_length=120, required=False, allow_blank=True)
    city = Text(max_length=80, required=False, allow_blank=True)
    postal_code = Text(max_length=20, required=False, allow_blank=True)
    country = Text(max_length=2, required=False, allow_blank=True)
    tax_id = Text(max_length=30, required=False, allow_blank=True)


class DetailsShown(Shown):
    object = Kind("billing_details")
    name = serializers.CharField()
    email = serializers.CharField(allow_blank=True)
    line1 = serializers.CharField(allow_blank=True)
    line2 = serializers.CharField(allow_blank=True)
    city = serializers.CharField(allow_blank=True)
    postal_code = serializers.CharField(allow_blank=True)
    country = serializers.CharField(allow_blank=True)
    tax_id = serializers.CharField(allow_blank=True)


class VoucherWishes(Body):
    code = Text(max_length=60)


class RedeemedShown(Shown):
    object = Kind("billing_voucher")
    amount_usd = UsdOfNanos(source="nanos")
    reason = serializers.CharField()


class AutoTopUpView(ResourceView):
    tag = "Billing"
    needs = {"GET": READ, "PUT": WRITE}

    @described("getAutoTopUp", "Show automatic top-ups and the saved card", answer=AutoTopUpShown)
    def get(self, request: Request) -> Response:
        return self._answered(autotopup.rule_of(self.organization))

    @described(
        "setAutoTopUp", "Set automatic top-ups", body=AutoTopUpWishes, answer=AutoTopUpShown,
        sent={"enabled": True, "threshold_usd": "10", "amount_usd": "25", "monthly_cap_usd": "100"},
    )  # fmt: skip
    def put(self, request: Request) -> Response:
        """Enabling it again forgets earlier declines. It needs a saved card."""
        said = self.read(AutoTopUpWishes)
        wishes = Wishes(said["enabled"], said["threshold_usd"], said["amount_usd"], said["monthly_cap_usd"])
        return self._answered(autotopup.set_rule(self.organization, self.actor, wishes))

    def _answered(self, rule: AutoTopUp | None) -> Response:
        said = autotopup.told(rule) if rule else {}
        names = ("threshold_usd", "amount_usd", "monthly_cap_usd")
        shown = {
            "enabled": rule.is_on if rule else False,
            **{name: said.get(name) for name in names},
            "failures": rule.failures if rule else 0,
            "failure": rule.failure if rule else "",
            "next_attempt_at": rule.next_attempt_at if rule else None,
            "card": cards.card_of(self.organization),
        }
        return Response(AutoTopUpShown(shown).data)


class CardView(ResourceView):
    tag = "Billing"
    needs = {"POST": WRITE, "DELETE": WRITE}

    @described("saveCard", "Open a page on which to save a card", answer=PageShown, status=201)
    @idempotent
    def post(self, request: Request) -> Response:
        """Nothing is paid there. The card is kept by the payment service."""
        return Response(PageShown({"url": cards.open_page(self.organization)}).data, 201)

    @described("removeCard", "Remove the saved card", status=204)
    def delete(self, request: Request) -> Response:
        """Automatic top-ups end with it."""
        cards.remove(self.organization, self.actor)
        return Response(status=204)


class PortalView(ResourceView):
    tag = "Billing"
    needs = {"POST": WRITE}

    @described("openBillingPortal", "Open the page with invoices and cards", answer=PageShown, status=201)
    @idempotent
    def post(self, request: Request) -> Response:
        """A page of the payment service, for whoever opens it soon: give its address to nobody else."""
        return Response(PageShown({"url": topups.portal_of(self.organization)}).data, 201)


class InvoiceView(ResourceView):
    tag = "Billing"
    needs = {"GET": READ}

    @described("getInvoice", "Find the invoice of a paid order", answer=InvoiceShown)
    def get(self, request: Request, top_up_id: str) -> Response:
        top_up = self.find(details.paid(self.organization), public_id=top_up_id)
        return Response(InvoiceShown({"pdf_url": details.invoice_address(top_up)}).data)


class DetailsView(ResourceView):
    tag = "Billing"
    needs = {"GET": READ, "PUT": WRITE}

    @described("getBillingDetails", "Show whom invoices name", answer=DetailsShown)
    def get(self, request: Request) -> Response:
        return Response(DetailsShown(asdict(details.details_of(self.organization))).data)

    @described(
        "setBillingDetails", "Set whom invoices name", body=DetailsWishes, answer=DetailsShown,
        sent={"name": "Acme Ltd", "line1": "1 Silom Road", "city": "Bangkok", "country": "TH"},
    )  # fmt: skip
    def put(self, request: Request) -> Response:
        given = Details(**self.read(DetailsWishes))
        return Response(DetailsShown(asdict(details.set_details(self.organization, self.actor, given))).data)


class VouchersView(ResourceView):
    tag = "Billing"
    needs = {"POST": WRITE}

    @described(
        "redeemVoucher", "Redeem a voucher", body=VoucherWishes, answer=RedeemedShown, status=201,
        sent={"code": "ABCDE-FGHJK-MNPQR"},
    )  # fmt: skip
    @idempotent
    def post(self, request: Request) -> Response:
        """Once for each organisation. What is wrong with a code, `metadata.reason` says."""
        code = self.read(VoucherWishes)["code"]
        return Response(RedeemedShown(vouchers.redeem(self.organization, self.actor, code)).data, 201)
