"""Ways to pay beside a single order: the saved card, automatic top-ups, vouchers; invoices and whom they name."""

from __future__ import annotations

from dataclasses import asdict

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.errors import InvalidField
from accounts.roles import Permission
from billing import autotopup, cards, client, details, vouchers
from billing.autotopup import Wishes
from billing.client import CENT_NANOS
from billing.details import Details
from billing.errors import CardMissing, PaymentGone, PaymentsAway, PaymentsOff, VoucherRefused
from billing.models import AutoTopUp
from common.money import format_usd
from console.forms.billing import AutoTopUpForm, DetailsForm, VoucherForm
from console.pages.billing import shown
from console.visit import Visit, page


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_BILLING)
def auto_top_up(request: HttpRequest, visit: Visit) -> HttpResponse:
    rule = autotopup.rule_of(visit.organization)
    form = AutoTopUpForm(request.POST or None, initial=_as_typed(rule) if rule else {"is_on": True})
    if request.method == "POST" and form.is_valid():
        try:
            autotopup.set_rule(visit.organization, visit.actor, Wishes(**form.cleaned_data))
            messages.success(request, _("Saved."))
            return redirect("billing")
        except (InvalidField, CardMissing, PaymentsOff) as refusal:
            form.absorb(refusal)
    context = {"form": form, "rule": rule, "card": cards.card_of(visit.organization), "is_on": client.is_on()}
    return render(request, "billing/auto_top_up.html", context, status=422 if form.errors else 200)


def _as_typed(rule: AutoTopUp) -> dict[str, object]:
    names = ("threshold", "amount", "monthly_cap")
    return {"is_on": rule.is_on} | {f"{name}_usd": f"{getattr(rule, f'{name}_cents') / 100:.2f}" for name in names}


@require_POST
@page(Permission.MANAGE_BILLING)
def card(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Leads to where a card is saved, or forgets the one there is."""
    try:
        if request.POST.get("wish") != "remove":
            return redirect(cards.open_page(visit.organization))
        cards.remove(visit.organization, visit.actor)
        messages.success(request, _("The card is removed. Automatic top-ups are off."))
    except (PaymentsOff, PaymentsAway) as refusal:
        messages.error(request, refusal.message)
    return redirect("billing")


@require_POST
@page(Permission.MANAGE_BILLING)
def voucher(request: HttpRequest, visit: Visit) -> HttpResponse:
    form = VoucherForm(request.POST)
    if form.is_valid():
        try:
            redeemed = vouchers.redeem(visit.organization, visit.actor, form.cleaned_data["code"])
            amount = {"amount": format_usd(redeemed.nanos)}
            messages.success(request, _("%(amount)s of credits are in your balance.") % amount)
            return redirect("billing")
        except VoucherRefused as refusal:
            form.absorb(refusal)
    return shown(request, visit, voucher_form=form, status=422)


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_BILLING)
def billing_details(request: HttpRequest, visit: Visit) -> HttpResponse:
    form = DetailsForm(request.POST or None, initial=asdict(details.details_of(visit.organization)))
    if request.method == "POST" and form.is_valid():
        try:
            details.set_details(visit.organization, visit.actor, Details(**form.cleaned_data))
            messages.success(request, _("Saved. Invoices name you so from now on."))
            return redirect("billing")
        except (InvalidField, PaymentsAway) as refusal:
            form.absorb(refusal)
    return render(request, "billing/details.html", {"form": form}, status=422 if form.errors else 200)


@require_GET
@page(Permission.VIEW_BILLING)
def invoice(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    """The PDF that the payment service made, or our receipt where it made none."""
    top_up = get_object_or_404(details.paid(visit.organization), public_id=public_id)
    try:
        address = details.invoice_address(top_up)
    except (PaymentGone, PaymentsOff, PaymentsAway):
        address = ""
    return redirect(address) if address else redirect("billing-receipt", public_id=public_id)


@never_cache
@require_GET
@page(Permission.VIEW_BILLING)
def receipt(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    top_up = get_object_or_404(details.paid(visit.organization), public_id=public_id)
    context = {
        "top_up": top_up,
        "nanos": (top_up.received_cents or 0) * CENT_NANOS,
        "details": details.details_of(visit.organization),
        "printed_at": timezone.now(),
    }
    return render(request, "billing/receipt.html", context)
