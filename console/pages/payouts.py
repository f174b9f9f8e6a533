"""Payouts: what can be paid out, where to, what was paid, and what each payment was made of."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import current
from accounts.errors import InvalidField
from accounts.roles import Permission
from billing import client, freezing, payees, payout_statements, payouts
from billing.client import CENT_NANOS
from billing.errors import PaymentsAway, PaymentsOff, PayoutRefused
from billing.models import Payee, Payout
from common.money import usd_text
from console.downloads import csv_download
from console.forms.billing import BankForm, OnboardForm
from console.payment_words import CHECKED_BY_STRIPE
from console.visit import Visit, page

_SHOWN = 100
_EXPORTED = 100_000
STATES: dict[str, tuple[Promise, str]] = {
    Payout.WAITING: (gettext_lazy("Waiting"), "warn"),
    Payout.SENDING: (gettext_lazy("On its way"), "info"),
    Payout.PAID: (gettext_lazy("Paid"), "ok"),
    Payout.RETURNED: (gettext_lazy("Came back"), "bad"),
}
PARTS: dict[str, Promise] = {
    "maturity": gettext_lazy("Rewards that matured"),
    "clawback": gettext_lazy("Taken back"),
    "payout_reversed": gettext_lazy("A payout that came back"),
    "reversal": gettext_lazy("Taken back"),
}


@never_cache
@require_GET
@page(Permission.VIEW_EARNINGS)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    if "onboarded" in request.GET:
        try:
            payees.look_again(visit.organization)
        except (PaymentsOff, PaymentsAway) as refusal:
            messages.info(request, refusal.message)
        return redirect("payouts")
    return _shown(request, visit)


@require_POST
@page(Permission.MANAGE_EARNINGS)
def check(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Asks Stripe about the account once more."""
    try:
        payee = payees.look_again(visit.organization, visit.actor)
    except (PaymentsOff, PaymentsAway) as refusal:
        messages.error(request, refusal.message)
        return redirect("payouts")
    if payee is not None and payee.state == Payee.READY:
        messages.success(request, _("It is verified. You can be paid there."))
    else:
        messages.info(request, _("It is not verified yet. It is looked at again by itself every few minutes."))
    return redirect("payouts")


@require_POST
@page(Permission.MANAGE_EARNINGS)
def ask(request: HttpRequest, visit: Visit) -> HttpResponse:
    current.require_recent_authentication(request)
    try:
        freezing.request(visit.organization, visit.actor)
        messages.success(request, _("The payout is on its way."))
    except PayoutRefused as refusal:
        messages.error(request, refusal.message)
    return redirect("payouts")


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_EARNINGS)
def onboard(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Leads to where one says who one is and which account is one's own."""
    if request.method == "GET":
        return redirect("payouts")
    current.require_recent_authentication(request)
    form = OnboardForm(request.POST)
    if form.is_valid():
        try:
            return redirect(
                payees.onboard(visit.organization, visit.actor, form.cleaned_data["country"], visit.user.email)
            )
        except (InvalidField, PayoutRefused, PaymentsOff, PaymentsAway) as refusal:
            form.absorb(refusal)
    return _shown(request, visit, form=form, status=422)


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_EARNINGS)
def bank(request: HttpRequest, visit: Visit) -> HttpResponse:
    current.require_recent_authentication(request)
    form = BankForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            payees.set_bank(visit.organization, visit.actor, payees.Bank(**form.cleaned_data))
            messages.success(request, _("Saved. The operator checks it before anything is sent there."))
            return redirect("payouts")
        except (InvalidField, PayoutRefused) as refusal:
            form.absorb(refusal)
    return render(request, "billing/payouts_bank.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@page(Permission.MANAGE_EARNINGS)
def monthly(request: HttpRequest, visit: Visit) -> HttpResponse:
    try:
        payees.set_monthly(visit.organization, visit.actor, request.POST.get("is_monthly") == "true")
    except PayoutRefused as refusal:
        messages.error(request, refusal.message)
    return redirect("payouts")


@never_cache
@require_GET
@page(Permission.VIEW_EARNINGS)
def detail(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    payout = get_object_or_404(payout_statements.payouts_of(visit.organization), public_id=public_id)
    parts = payout_statements.parts(payout)
    context = {
        "payout": payout,
        "nanos": payout.cents * CENT_NANOS,
        "state": STATES[payout.state],
        "parts": [(PARTS.get(part.kind, part.kind), part) for part in parts],
        "sum": sum(part.nanos for part in parts),
    }
    return render(request, "billing/payouts_detail.html", context)


@require_GET
@page(Permission.VIEW_EARNINGS)
def statement(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    payout = get_object_or_404(payout_statements.payouts_of(visit.organization), public_id=public_id)
    entries: Any = payout_statements.entries(payout)[:_EXPORTED]
    rows = [(one.posted_at.isoformat(), one.kind, usd_text(one.amount), one.business_id) for one in entries]
    return _csv(f"payout-{public_id}", ("posted_at", "kind", "amount_usd", "reference"), rows)


@require_GET
@page(Permission.VIEW_EARNINGS)
def export(request: HttpRequest, visit: Visit) -> HttpResponse:
    found = payout_statements.payouts_of(visit.organization)[:_EXPORTED]
    rows = [
        (one.created_at.isoformat(), one.public_id, f"{one.cents / 100:.2f}", one.state, one.destination,
         one.reference or "", one.ended_at.isoformat() if one.ended_at else "")
        for one in found
    ]  # fmt: skip
    return _csv("payouts", ("created_at", "payout", "amount_usd", "state", "to", "reference", "ended_at"), rows)


def _csv(name: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> HttpResponse:
    return csv_download(f"{name}.csv", chain([columns], rows))


def _shown(request: HttpRequest, visit: Visit, form: OnboardForm | None = None, status: int = 200) -> HttpResponse:
    payee = payees.payee_of(visit.organization)
    standing = payout_statements.standing(visit.organization)
    least_nanos = freezing.least_cents() * CENT_NANOS
    rows = payout_statements.payouts_of(visit.organization)[:_SHOWN]
    context = {
        "standing": standing,
        "payee": payee,
        "is_ready": payee is not None and payee.state == Payee.READY,
        "is_being_checked": payee is not None and payee.problem in CHECKED_BY_STRIPE,
        "least": least_nanos,
        "open": payouts.open_payout(visit.organization),
        "may_ask": standing.payable_nanos >= max(CENT_NANOS, least_nanos),
        "payouts": [(row, row.cents * CENT_NANOS, *STATES[row.state]) for row in rows],
        "form": form or OnboardForm(initial={"country": payee.country if payee else ""}),
        "is_on": client.is_on(),
        "is_test_mode": client.is_on() and client.is_test_mode(),
        "may_manage": visit.allows(Permission.MANAGE_EARNINGS),
    }
    return render(request, "billing/payouts.html", context, status=status)
