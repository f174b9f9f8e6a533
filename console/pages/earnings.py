"""Earnings: what an organisation's machines earned, when it is theirs, what is doubted, what it is used for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.errors import InvalidField
from accounts.roles import Permission
from billing.earnings import cases, causes, exposure, figures, programmes, recognition, trust
from billing.earnings.errors import CaseClosed
from billing.earnings.models import Case, Cause
from billing.earnings.splitting import Choice
from common.money import NANOS_PER_USD, usd_from_nanos
from console import earning_words as words
from console.demo_earnings import GUESTS
from console.downloads import csv_download
from console.earning_start import Estimate, estimated, start_steps
from console.forms.earnings import AnswerForm, EstimateForm, ProgrammeForm, RecognitionForm
from console.visit import Visit, page, wants_fragment
from nodes.models import NodeDoubt

_DAYS = {"7d": 7, "30d": 30, "90d": 90}
_MOST_CASES = 20
_MOST_ROWS = 50
_ALL = date(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the bar that shows what becomes of a dollar; `x` and `width` in percent."""

    label: str
    nanos: int
    tone: str
    x: float
    width: float


@never_cache
@require_GET
@page(Permission.VIEW_EARNINGS)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    org, now = visit.organization, timezone.now()
    chosen = request.GET.get("range") if request.GET.get("range") in _DAYS else "30d"
    until = now.date()
    since = until - timedelta(days=_DAYS[str(chosen)] - 1)
    course = figures.course_of(org, since, until)
    begun = figures.begun_of(org)
    not_earning = _not_earning(visit)
    context: dict[str, Any] = {
        "balances": figures.balances(org),
        "total": course.total,
        "rows": course.models[:_MOST_ROWS],
        "more_rows": max(0, len(course.models) - _MOST_ROWS),
        "chart": _chart(course.days),
        "calendar": figures.calendar(org),
        "cases": [_told(case) for case in cases.cases_of(org)[:_MOST_CASES]],
        "not_earning": not_earning[:_MOST_ROWS],
        "is_more_not_earning": len(not_earning) > _MOST_ROWS,
        "trust_percent": settings.EARNINGS_TRUST_PERCENT,
        "maturity_days": settings.EARNINGS_MATURITY_DAYS,
        "has_earned": begun.has_earned,
        "has_models": begun.has_models,
        "range": chosen,
        "ranges": {"7d": _("7 days"), "30d": _("30 days"), "90d": _("90 days")}.items(),
        "may_manage": visit.allows(Permission.MANAGE_EARNINGS),
        "may_bill": visit.allows(Permission.VIEW_BILLING),
        "may_price": visit.allows(Permission.MANAGE_NODES),
    } | _standing(visit, now)
    if not begun.has_earned:
        context |= _start(visit, begun, programmes.choice_of(context["programme"]))
    return render(request, "earnings/index.html", context)


@require_GET
@page(Permission.VIEW_EARNINGS)
def estimate(request: HttpRequest, visit: Visit) -> HttpResponse:
    """What a machine would bring in a month, as the form stands."""
    form = EstimateForm(request.GET or None)
    choice = programmes.choice_of(programmes.programme_of(visit.organization))
    context = {"estimate": _estimated(form, choice), "form": form}
    return render(
        request, "earnings/_estimate.html" if wants_fragment(request) else "earnings/estimate.html", context
    )


@require_GET
@page(Permission.VIEW_EARNINGS)
def export(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Every lot: a machine, a model, a day."""
    return csv_download(f"earnings-{timezone.now():%Y-%m-%d}.csv", figures.csv_rows(visit.organization, _ALL))


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_EARNINGS)
def programme(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Chooses; “preview” shows what it would mean and saves nothing, for those without a script."""
    row, offered = programmes.programme_of(visit.organization), list(causes.open_causes())
    form = ProgrammeForm(request.POST, causes=offered) if request.method == "POST" else ProgrammeForm.of(row, offered)
    choice = programmes.choice_of(row)
    if request.method == "POST" and form.is_valid():
        try:
            choice, _found = programmes.cleaned_choice(form.given())
            if "preview" not in request.POST:
                programmes.choose(visit.organization, visit.actor, form.given())
                messages.success(request, _("Saved. It counts from the next settled request on."))
                return redirect("earnings")
        except InvalidField as refusal:
            form.absorb(refusal)
    context = {"form": form, "parts": dollar(choice), "texts": words.PART_TEXTS, "causes": offered}
    return render(request, "earnings/programme.html", context, status=422 if form.errors else 200)


@never_cache
@require_GET
@page(Permission.VIEW_EARNINGS)
def preview(request: HttpRequest, visit: Visit) -> HttpResponse:
    """The bar of one dollar alone, as the form stands."""
    form = ProgrammeForm(request.GET, causes=causes.open_causes())
    parts, mistake = None, ""
    if form.is_valid():
        try:
            parts = dollar(programmes.cleaned_choice(form.given())[0])
        except InvalidField as refusal:
            mistake = refusal.message
    else:
        mistake = str(next(iter(form.errors.values()))[0])
    return render(request, "earnings/_dollar.html", {"parts": parts, "mistake": mistake})


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_EARNINGS)
def recognised(request: HttpRequest, visit: Visit) -> HttpResponse:
    row = programmes.programme_of(visit.organization)
    initial = {"is_public": row.is_public, "public_name": row.public_name or visit.organization.name}
    form = RecognitionForm(request.POST) if request.method == "POST" else RecognitionForm(initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            programmes.recognise(visit.organization, visit.actor, **form.cleaned_data)
            messages.success(request, _("Saved."))
            return redirect("earnings")
        except InvalidField as refusal:
            form.absorb(refusal)
    badges = badge_words(recognition.badges_of(visit.organization, timezone.now()))
    context = {"form": form, "badges": badges, "all_badges": badge_words(words.BADGES)}
    return render(request, "earnings/recognition.html", context, status=422 if form.errors else 200)


@never_cache
@require_GET
@page(Permission.VIEW_EARNINGS)
def case(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    return _shown_case(request, visit, _case(visit, public_id), AnswerForm())


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_EARNINGS)
def answer(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    found = _case(visit, public_id)
    if request.method == "GET":
        return redirect("earnings-case", public_id)
    form = AnswerForm(request.POST)
    if form.is_valid():
        try:
            cases.answer(found, visit.actor, form.cleaned_data["answer"])
            messages.success(request, _("Thank you. Somebody of the operator reads it and decides."))
            return redirect("earnings-case", public_id)
        except (InvalidField, CaseClosed) as refusal:
            form.absorb(refusal)
    return _shown_case(request, visit, found, form)


def dollar(choice: Choice) -> list[Part]:
    """What of $1.00 goes where, exactly as settlement would divide it."""
    shown = programmes.preview(choice, NANOS_PER_USD)
    given = shown.share.donated
    names = dict(Cause.objects.filter(pk__in=given).values_list("pk", "name")) if given else {}
    parts = [(_("The platform's fee"), shown.fee, "fill-base-300")]
    parts.append((_("Yours, in escrow first"), shown.share.escrow, "fill-primary"))
    parts.append((_("Yours, as tokens at once"), shown.share.exchanged, "fill-secondary"))
    parts += [(names[cause], nanos, "fill-success") for cause, nanos in shown.share.donated.items()]
    found, at = [], 0
    for label, nanos, tone in parts:
        if nanos:
            found.append(Part(label, nanos, tone, at * 100 / NANOS_PER_USD, nanos * 100 / NANOS_PER_USD))
            at += nanos
    return found


def badge_words(badges: Iterable[str]) -> list[tuple[str, Any, Any]]:
    return [words.BADGES[name] for name in badges]


def told_doubts(doubts: Iterable[NodeDoubt]) -> list[tuple[Any, Any]]:
    return [(doubt, words.DOUBTS[doubt.kind]) for doubt in doubts]


def _standing(visit: Visit, now: datetime) -> dict[str, Any]:
    """The programme, and how the owner is trusted for it."""
    org = visit.organization
    programme, record = programmes.programme_of(org), trust.records_of([org.pk], now)
    earned = trust.trusts_of([org.pk], now, record)[org.pk]
    badges = recognition.badges_for(record[org.pk], earned, gives=programme.donated_percent > 0)
    return {
        "programme": programme,
        "programme_name": words.PROGRAMMES[programme.kind],
        "programme_text": words.programme_text(programme),
        "parts": dollar(programmes.choice_of(programme)),
        "trust": earned,
        "exposure": exposure.exposure_with(earned, programme),
        "badges": badge_words(badges),
    }


def _start(visit: Visit, begun: figures.Begun, choice: Choice) -> dict[str, Any]:
    """For who has not earned yet."""
    names = [one.org.name for one in visit.memberships if settings.DEMO and one.org.name == GUESTS]
    guests = names[0] if names and visit.organization.name != GUESTS else ""
    form = EstimateForm()
    return {"steps": start_steps(begun, guests=guests), "form": form, "estimate": _estimated(form, choice)}


def _estimated(form: EstimateForm, choice: Choice) -> Estimate | None:
    """None for figures that are none; what nobody typed yet is what the form begins with."""
    if form.is_bound and not form.is_valid():
        return None
    given = form.cleaned_data if form.is_bound else {name: Decimal(form[name].initial) for name in form.fields}
    return estimated(choice, given["speed"], given["hours"], given["price"])


def _told(found: Case) -> tuple[Case, Any, str]:
    return found, words.CASE_STATES[found.state], words.CASE_TONES[found.state]


def _cases(visit: Visit) -> QuerySet[Case]:
    return cases.cases_of(visit.organization)


def _case(visit: Visit, public_id: str) -> Case:
    return get_object_or_404(_cases(visit), public_id=public_id)


def _shown_case(request: HttpRequest, visit: Visit, found: Case, form: AnswerForm) -> HttpResponse:
    doubts = cases.doubts_behind_all([found.lot])[found.lot.pk]
    share = cases.share_at_stake(found.lot, doubts)
    context = {
        "told": _told(found),
        "doubts": told_doubts(doubts),
        "at_stake": found.lot.earned * share.numerator // share.denominator,
        "form": form,
        "may_answer": visit.allows(Permission.MANAGE_EARNINGS) and found.is_pending,
    }
    return render(request, "earnings/case.html", context, status=422 if form.errors else 200)


def _not_earning(visit: Visit) -> list[tuple[Any, list[Any]]]:
    found = figures.not_earning(visit.organization, _MOST_ROWS + 1)
    return [(one.node, [words.NOT_EARNING[reason] for reason in one.reasons]) for one in found]


def _chart(days: list[tuple[date, figures.Figures]]) -> dict[str, Any]:
    """What Chart.js draws: the parts of each day's share."""
    named = {"escrow": _("In escrow"), "exchanged": _("As tokens"), "donated": _("Given to causes")}
    series = [
        {"label": label, "data": [float(usd_from_nanos(getattr(one, name))) for _day, one in days]}
        for name, label in named.items()
        if any(getattr(one, name) for _day, one in days)
    ]
    return {"labels": [date_format(day, "j M") for day, _one in days], "series": series, "unit": "$"}
