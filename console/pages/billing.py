"""Billing: what there is, what is held, every movement of it, and how more is bought."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import organizations
from accounts.errors import InvalidField
from accounts.roles import Permission
from billing import autotopup, cards, client, details, statements, topups
from billing.errors import PaymentGone, PaymentsAway, PaymentsOff
from billing.models import TopUp
from common.money import usd_text
from console.downloads import Rows, csv_stream
from console.forms.billing import SpendingForm, TopUpForm, VoucherForm
from console.visit import Visit, page
from ledger.kinds import TOKENS, WALLET

_PAGE = 50
_USED_OVER = timedelta(days=30)
_AT_ONCE = 2_000
CSV_HEAD = ("posted_at", "kind", "amount_usd", "balance_usd", "reference", "reason")
_ON_ITS_WAY = timedelta(hours=1)
_INVOICES = 12
_LONGEST_PAGE = 6
_SESSION = re.compile(r"[A-Za-z0-9_]{1,80}")
_NEWEST_ID = 2**63 - 1
_LONGEST_ID = 20
KINDS: dict[str, Promise] = {
    "settlement": gettext_lazy("Usage"),
    "stripe_topup": gettext_lazy("Top-up"),
    "credit": gettext_lazy("Credit given"),
    "voucher": gettext_lazy("Voucher"),
    "refund": gettext_lazy("Refund"),
    "dispute": gettext_lazy("Disputed payment"),
    "credit_limit": gettext_lazy("Credit limit"),
    "rerating": gettext_lazy("Corrected price"),
    "clawback": gettext_lazy("Given back after a review"),
    "reversal": gettext_lazy("Taken back"),
}
KINDS_OF_TOKENS: dict[str, Promise] = {
    "exchange": gettext_lazy("Earned by your machines"),
    **{kind: KINDS[kind] for kind in ("settlement", "clawback", "reversal")},
}


@never_cache
@require_GET
@page(Permission.VIEW_BILLING)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    _keep_card(request)
    return shown(request, visit)


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_BILLING)
def top_up(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Orders, and leads to where it is paid."""
    if request.method == "GET":
        return redirect("billing")
    form = TopUpForm(request.POST)
    if form.is_valid():
        try:
            ordered = topups.order(visit.organization, visit.actor, **form.cleaned_data)
            return redirect(ordered.checkout_url)
        except (InvalidField, PaymentsOff, PaymentsAway) as refusal:
            form.absorb(refusal)
    return shown(request, visit, form=form, status=422)


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_BILLING)
def spending(request: HttpRequest, visit: Visit) -> HttpResponse:
    """What pays first: tokens or credits."""
    if request.method == "GET":
        return redirect("billing")
    form = SpendingForm(request.POST)
    if form.is_valid():
        try:
            organizations.set_spending(visit.organization, visit.actor, **form.settings())
            messages.success(request, _("Saved."))
            return redirect("billing")
        except InvalidField as refusal:
            form.absorb(refusal)
    return shown(request, visit, spending_form=form, status=422)


@require_POST
@page(Permission.MANAGE_BILLING)
def portal(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Invoices and cards, at the payment service."""
    try:
        return redirect(topups.portal_of(visit.organization))
    except (PaymentsOff, PaymentsAway) as refusal:
        messages.error(request, refusal.message)
        return redirect("billing")


@require_GET
@page(Permission.VIEW_BILLING)
def export(request: HttpRequest, visit: Visit) -> StreamingHttpResponse:
    """Every movement, the newest first."""
    found = statements.entries(visit.organization, _kind(request), _purse(request))
    return csv_stream(f"billing-{timezone.now():%Y-%m-%d}.csv", CSV_HEAD, partial(_csv_rows, found))


def _csv_rows(found: QuerySet[Any], before: int) -> tuple[Rows, int]:
    """What was posted meanwhile is not in it: the file goes back from the newest one that it begins with."""
    entries = list((found.filter(id__lt=before) if before else found)[:_AT_ONCE])
    rows = [
        (
            entry.posted_at.isoformat(), entry.kind, usd_text(entry.amount), usd_text(entry.balance_after),
            entry.business_id, entry.reason,
        )
        for entry in entries
    ]  # fmt: skip
    return rows, entries[-1].pk if entries else before


def shown(
    request: HttpRequest,
    visit: Visit,
    *,
    form: TopUpForm | None = None,
    voucher_form: VoucherForm | None = None,
    spending_form: SpendingForm | None = None,
    status: int = 200,
) -> HttpResponse:
    context = (
        _movements(request, visit)
        | _means(visit)
        | _invoices(request, visit)
        | {
            "form": form or TopUpForm(),
            "voucher_form": voucher_form or VoucherForm(),
            "spending": spending_form or SpendingForm.of(visit.organization),
            "ordered": (ordered := _ordered(request, visit)),
            "is_overdue": ordered is not None and ordered.created_at < timezone.now() - _ON_ITS_WAY,
        }
    )
    return render(request, "billing/index.html", context, status=status)


def _movements(request: HttpRequest, visit: Visit) -> dict[str, Any]:
    kind, before, now = _kind(request), request.GET.get("before", "")[:_LONGEST_ID], timezone.now()
    purse = _purse(request)
    labels, tokens = _kinds_of(purse), f"&purse={purse}" if purse == TOKENS else ""
    found = statements.entries(visit.organization, kind, purse)
    if before.isascii() and before.isdecimal() and int(before) <= _NEWEST_ID:
        found = found.filter(id__lt=int(before))
    entries: list[Any] = list(found[: _PAGE + 1])
    balance = statements.balance(visit.organization)
    return {
        "balance": balance,
        "used": statements.used(balance.wallet_id, now - _USED_OVER, now),
        "entries": [(entry, labels.get(entry.kind, entry.kind)) for entry in entries[:_PAGE]],
        "older": f"?kind={kind}{tokens}&before={entries[_PAGE - 1].pk}" if len(entries) > _PAGE else "",
        "is_first_page": not before,
        "kind": kind,
        "kinds": labels.items(),
        "of_tokens": purse == TOKENS,
        "newest": f"?kind={kind}{tokens}",
    }


def _means(visit: Visit) -> dict[str, Any]:
    """How credits come in, and what was paid."""
    rule, now = autotopup.rule_of(visit.organization), timezone.now()
    return {
        "is_on": client.is_on(),
        "is_required": settings.CREDITS_REQUIRED,
        "is_staff": visit.user.is_staff,
        "is_test_mode": client.is_on() and client.is_test_mode(),
        "may_manage": visit.allows(Permission.MANAGE_BILLING),
        "card": cards.card_of(visit.organization),
        "rule": rule,
        "rule_spent": autotopup.spent_cents(visit.organization, now),
        "is_capped": rule is not None and rule.is_on and not autotopup.has_room(rule, now),
        "details": details.details_of(visit.organization),
    }


def _invoices(request: HttpRequest, visit: Visit) -> dict[str, Any]:
    """A page of what was paid, newest first."""
    asked = request.GET.get("invoices", "")[:_LONGEST_PAGE]
    number = max(1, int(asked)) if asked.isascii() and asked.isdecimal() else 1
    start = (number - 1) * _INVOICES
    found = list(details.paid(visit.organization)[start : start + _INVOICES + 1])
    return {
        "paid": found[:_INVOICES],
        "invoices_newer": number - 1,
        "invoices_older": number + 1 if len(found) > _INVOICES else 0,
    }


def _keep_card(request: HttpRequest) -> None:
    """Somebody comes back from saving one. Whose it is says Stripe; the webhook tells the same, perhaps later."""
    session = request.GET.get("card", "")
    if _SESSION.fullmatch(session):
        try:
            if cards.adopt_from(session):
                messages.success(request, _("The card is saved. Turn on automatic top-ups to use it."))
        except (PaymentGone, PaymentsOff, PaymentsAway):
            messages.info(request, _("The card shows here as soon as the payment service confirms it."))


def _ordered(request: HttpRequest, visit: Visit) -> TopUp | None:
    """The one that somebody comes back from paying."""
    return TopUp.objects.of(visit.organization).filter(public_id=request.GET.get("paid", "")[:40]).first()


def _kind(request: HttpRequest) -> str:
    kind = request.GET.get("kind", "")
    return kind if kind in _kinds_of(_purse(request)) else ""


def _purse(request: HttpRequest) -> str:
    return TOKENS if request.GET.get("purse") == TOKENS else WALLET


def _kinds_of(purse: str) -> dict[str, Promise]:
    return KINDS_OF_TOKENS if purse == TOKENS else KINDS
