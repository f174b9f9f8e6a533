"""Causes and contributors: public, without signing in. Staff add, change and close causes, and decide cases."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import current
from accounts.errors import InvalidField
from accounts.models import User
from billing.earnings import cases, causes, recognition
from billing.earnings.causes import Total
from billing.earnings.errors import CaseClosed
from billing.earnings.models import Case, Cause
from billing.earnings.programmes import preview
from billing.earnings.splitting import Choice
from common.money import NANOS_PER_USD, nanos_from_usd
from console.forms.earnings import CauseForm, CausePaymentForm, DecisionForm
from console.pages.earnings import badge_words, told_doubts
from ledger.errors import BusinessIdReused

Rest = ParamSpec("Rest")
_MOST_PENDING = 100
NO_WISH = gettext_lazy("Nothing was done: press one of the buttons.")


def for_staff(view: Callable[Concatenate[HttpRequest, Rest], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Staff of the operator; others are asked to sign in, or refused."""

    @wraps(view)
    def entered(request: HttpRequest, /, *args: Rest.args, **kwargs: Rest.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not _is_staff(request):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return entered


@never_cache
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    totals = causes.totals()
    rows = [(cause, totals.get(cause.pk, Total())) for cause in Cause.objects.order_by("name")]
    shown = [(cause, total) for cause, total in rows if cause.closed_at is None or total.given]
    context = {
        "rows": sorted(shown, key=lambda row: (row[0].closed_at is not None, -row[1].given)),
        "given": sum(total.given for _cause, total in rows),
        "paid_out": sum(total.paid_out for _cause, total in rows),
        "open": sum(cause.closed_at is None for cause, _total in rows),
        "givers": causes.givers(),
        "is_staff": _is_staff(request),
    }
    return render(request, "causes/index.html", context)


@never_cache
@require_GET
def detail(request: HttpRequest, slug: str) -> HttpResponse:
    cause = get_object_or_404(Cause, slug=slug)
    context = {
        "cause": cause,
        "total": causes.total_of(cause),
        "months": causes.per_month(cause),
        "is_staff": _is_staff(request),
    }
    return render(request, "causes/detail.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@for_staff
def pay(request: HttpRequest, slug: str) -> HttpResponse:
    """Notes what the operator has paid to a cause, so that its page says so."""
    current.require_recent_authentication(request)
    cause = get_object_or_404(Cause, slug=slug)
    form = CausePaymentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            posted = causes.pay(
                cause, nanos_from_usd(said["amount_usd"]), said["reference"], current.actor_of(request)
            )
            messages.success(request, _("Noted.") if posted.is_new else _("This reference was noted before."))
            return redirect("causes-detail", slug)
        except (InvalidField, BusinessIdReused) as refusal:
            form.absorb(refusal)
    context = {"form": form, "cause": cause, "total": causes.total_of(cause)}
    return render(request, "causes/pay.html", context, status=422 if form.errors else 200)


@never_cache
@require_GET
def contributors(request: HttpRequest) -> HttpResponse:
    """The leaderboard of those who want to be seen, and the formulas by which everybody is treated."""
    board = recognition.leaderboard(timezone.now())
    shown = preview(Choice(), NANOS_PER_USD)
    context = {
        "rows": [(standing, badge_words(standing.badges)) for standing in board],
        "share_percent": shown.share.escrow * 100 / NANOS_PER_USD,
        "trust_percent": settings.EARNINGS_TRUST_PERCENT,
        "trust_requests": settings.EARNINGS_TRUST_REQUESTS,
        "maturity_days": settings.EARNINGS_MATURITY_DAYS,
        "answer_days": settings.EARNINGS_ANSWER_DAYS,
        "is_exposed": settings.EARNINGS_EXPOSURE,
    }
    return render(request, "causes/contributors.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@for_staff
def create(request: HttpRequest) -> HttpResponse:
    return _written(request, None)


@never_cache
@require_http_methods(["GET", "POST"])
@for_staff
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    return _written(request, get_object_or_404(Cause, slug=slug))


@require_POST
@for_staff
def close(request: HttpRequest, slug: str) -> HttpResponse:
    """Closes it, or opens it again, as the button says that was pressed: pressed twice, it is done once."""
    cause, actor = get_object_or_404(Cause, slug=slug), current.actor_of(request)
    wish = request.POST.get("wish")
    if wish == "close":
        causes.close(cause, actor)
        messages.success(request, _("Closed. Owners who gave to it alone keep their share from now on."))
    elif wish == "reopen":
        causes.reopen(cause, actor)
        messages.success(request, _("Open again."))
    else:
        messages.error(request, NO_WISH)
    return redirect("causes-detail", slug)


@never_cache
@require_GET
@for_staff
def review(request: HttpRequest) -> HttpResponse:
    """Cases of all organisations that wait for a decision, the answered ones first."""
    return _shown_review(request, None)


@never_cache
@require_http_methods(["POST"])
@for_staff
def decide(request: HttpRequest, public_id: str) -> HttpResponse:
    case = get_object_or_404(Case.objects.select_related("org", "lot"), public_id=public_id)
    form = DecisionForm(request.POST)
    decision = {"uphold": cases.uphold, "dismiss": cases.dismiss}.get(request.POST.get("wish", ""))
    if decision is None:
        form.add_error(None, NO_WISH)
    if decision is None or not form.is_valid():
        return _shown_review(request, (public_id, form), status=422)
    try:
        decision(case, current.actor_of(request), form.cleaned_data["note"])
        messages.success(request, _("Decided. The owner reads the reason on its Earnings page."))
    except CaseClosed as refusal:
        messages.error(request, refusal.message)
    return redirect("causes-review")


def _shown_review(request: HttpRequest, sent: tuple[str, DecisionForm] | None, status: int = 200) -> HttpResponse:
    pending = Case.objects.filter(state__in=(Case.OPEN, Case.ANSWERED)).select_related("org", "lot", "node")
    rows: list[Any] = []
    shown = list(pending.order_by("state", "answer_until")[:_MOST_PENDING])
    doubts = cases.doubts_behind_all([case.lot for case in shown])
    for case in shown:
        share = cases.share_at_stake(case.lot, doubts[case.lot.pk])
        form = sent[1] if sent and sent[0] == case.public_id else DecisionForm(auto_id=f"id_{case.public_id}_%s")
        rows.append(
            (case, told_doubts(doubts[case.lot.pk]), case.lot.earned * share.numerator // share.denominator, form)
        )
    return render(request, "causes/review.html", {"rows": rows}, status=status)


def _written(request: HttpRequest, cause: Cause | None) -> HttpResponse:
    kept = {name: getattr(cause, name) for name in CauseForm.base_fields} if cause else None
    form = CauseForm(request.POST) if request.method == "POST" else CauseForm(initial=kept)
    if request.method == "POST" and form.is_valid():
        try:
            said, actor = form.cleaned_data, current.actor_of(request)
            saved = causes.edit(cause, said, actor) if cause else causes.add(said, actor)
            messages.success(request, _("Saved."))
            return redirect("causes-detail", saved.slug)
        except InvalidField as refusal:
            form.absorb(refusal)
    return render(request, "causes/edit.html", {"form": form, "cause": cause}, status=422 if form.errors else 200)


def _is_staff(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_staff
