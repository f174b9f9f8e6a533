"""Payouts by bank, for staff: banks to check, the file of what is due, and what became of each payout."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import current
from accounts.audit import Actor
from billing import bank_payouts, payees
from billing.client import CENT_NANOS
from billing.errors import PayoutRefused
from billing.models import Payee, Payout
from console.downloads import csv_download
from console.forms.staff import BankCheckForm, FailedForm, PaidForm
from console.pages.causes import for_staff
from console.pages.payouts import STATES

_SHOWN = 200
_ENDED = (Payout.PAID, Payout.RETURNED)


@never_cache
@require_GET
@for_staff
def index(request: HttpRequest) -> HttpResponse:
    by_bank = Payout.objects.filter(method=Payee.BANK, batch__frozen_at__isnull=False).select_related("org", "batch")
    is_open = by_bank.filter(state__in=Payout.OPEN)
    due = list(is_open.order_by("pk")[:_SHOWN])
    ended = list(by_bank.filter(state__in=_ENDED).order_by("-ended_at", "-pk")[:_SHOWN])
    sums = {
        row["state"]: row for row in is_open.values("state").annotate(n=Count("pk"), cents=Sum("cents")).order_by()
    }
    waiting, at_bank = (sums.get(state, {"n": 0, "cents": 0}) for state in (Payout.WAITING, Payout.SENDING))
    context = {
        "due": [_row(one) for one in due],
        "ended": [_row(one) for one in ended],
        "waiting": waiting["n"],
        "waiting_nanos": waiting["cents"] * CENT_NANOS,
        "at_bank": at_bank["n"],
        "at_bank_nanos": at_bank["cents"] * CENT_NANOS,
        "banks": unchecked_banks(),
    }
    return render(request, "staff/payouts.html", context)


def unchecked_banks() -> list[Payee]:
    rows = Payee.objects.filter(method=Payee.BANK, state=Payee.INCOMPLETE, sealed__isnull=False)
    return list(rows.select_related("org").order_by("updated_at")[:_SHOWN])


@never_cache
@require_POST
@for_staff
def export(request: HttpRequest) -> HttpResponse:
    """The file for the bank. What is in it counts as on its way; asked again, it holds the same and more."""
    current.require_recent_authentication(request)
    rows = bank_payouts.rows(actor=current.actor_of(request))
    return csv_download(f"bank-payouts-{timezone.now():%Y-%m-%d}.csv", chain([bank_payouts.COLUMNS], rows))


@never_cache
@require_http_methods(["GET", "POST"])
@for_staff
def paid(request: HttpRequest, public_id: str) -> HttpResponse:
    form = PaidForm(request.POST or None)
    return _told(request, public_id, form, "paid", lambda actor: _confirm(public_id, form, actor))


@never_cache
@require_http_methods(["GET", "POST"])
@for_staff
def failed(request: HttpRequest, public_id: str) -> HttpResponse:
    """It never went out, or was booked as paid and came back."""
    form = FailedForm(request.POST or None)
    return _told(request, public_id, form, "failed", lambda actor: _fail(public_id, form, actor))


@require_POST
@for_staff
def put_back(request: HttpRequest, public_id: str) -> HttpResponse:
    """Takes the export of one back."""
    try:
        bank_payouts.put_back(public_id, current.actor_of(request))
        messages.success(request, _("It waits again, and comes into the next file."))
    except PayoutRefused as refusal:
        messages.error(request, refusal.message)
    return redirect("staff-payouts")


@never_cache
@require_http_methods(["GET", "POST"])
@for_staff
def bank(request: HttpRequest, organization_id: str) -> HttpResponse:
    """Shows a bank in full, to be held against what the organisation has proven, and notes the judgement."""
    current.require_recent_authentication(request)
    payee = get_object_or_404(
        Payee.objects.select_related("org"), org__public_id=organization_id, method=Payee.BANK, sealed__isnull=False
    )
    form = BankCheckForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        is_right = request.POST.get("wish") == "right"
        problem = "" if is_right else form.cleaned_data["problem"].strip()
        try:
            if is_right or problem:
                actor, seen = current.actor_of(request), request.POST.get("seen", "")
                payees.verify(payee.org, actor, is_right=is_right, problem=problem, seen=seen)
                messages.success(request, _("Noted."))
                return redirect("staff-payouts")
            form.add_error("problem", _("Say what is wrong: the organisation reads it."))
        except PayoutRefused as refusal:
            form.add_error(None, refusal.message)
    seen = payees.seen_of(payee)
    was_seen = request.POST.get("seen") == seen
    bank = payees.bank_of(payee) if was_seen else payees.read_bank(payee, current.actor_of(request))
    context = {"payee": payee, "bank": bank, "seen": seen, "form": form}
    return render(request, "staff/bank.html", context, status=422 if form.errors else 200)


def _told(
    request: HttpRequest, public_id: str, form: forms.Form, what: str, book: Callable[[Actor], None]
) -> HttpResponse:
    payout = get_object_or_404(Payout.objects.select_related("org"), public_id=public_id, method=Payee.BANK)
    current.require_recent_authentication(request)
    if request.method == "POST" and form.is_valid():
        try:
            book(current.actor_of(request))
            messages.success(request, _("Booked."))
            return redirect("staff-payouts")
        except PayoutRefused as refusal:
            form.add_error(None, refusal.message)
    context = {"payout": payout, "nanos": payout.cents * CENT_NANOS, "form": form, "what": what}
    return render(request, "staff/payout.html", context, status=422 if form.errors else 200)


def _confirm(public_id: str, form: forms.Form, actor: Actor) -> None:
    bank_payouts.confirm(public_id, form.cleaned_data["reference"], actor)


def _fail(public_id: str, form: forms.Form, actor: Actor) -> None:
    """As it stood where it was told: what a colleague has booked as paid meanwhile is not taken back unseen."""
    state = form.data.get("state") or Payout.objects.filter(public_id=public_id).values_list("state", flat=True).get()
    end = bank_payouts.came_back if state == Payout.PAID else bank_payouts.send_back
    end(public_id, form.cleaned_data["reason"], actor)


def _row(payout: Payout) -> tuple[Payout, int, Any, str]:
    label, tone = STATES[payout.state]
    if payout.reversed_cents:
        label, tone = STATES[Payout.RETURNED]
    return payout, payout.cents * CENT_NANOS, label, tone
