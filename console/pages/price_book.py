"""The price book of the platform: what its own connections sell, at which price, since when. For staff."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts import current
from billing.models import PriceVersion
from billing.prices import rates_of
from common.money import usd_text
from common.rates import Tier, tiers_within
from console.downloads import csv_download
from console.forms.price_book import PriceForm
from console.pages.causes import for_staff
from providers import services
from providers.errors import InvalidConnection
from providers.models import ServedModel

_FIGURES = (
    "input_nanos", "cached_input_nanos", "output_nanos", "cache_write_nanos", "audio_input_nanos", "reasoning_nanos",
    "audio_output_nanos",
)  # fmt: skip
_HEADS = ("request_usd", "above_tokens", *(f"{name.removesuffix('_nanos')}_usd" for name in _FIGURES))


@never_cache
@require_GET
@for_staff
def index(request: HttpRequest) -> HttpResponse:
    """Those without a known price first: requests to them are refused."""
    asked = request.GET.get("q", "").strip()[:200]
    found = sold_models()
    models = list(found.filter(model_id__icontains=asked) if asked else found)
    in_force = {
        row.target_id: row
        for row in PriceVersion.objects.filter(target_id__in=[one.pk for one in models], valid_until=None)
    }
    rows = [(model, *_with_tiers(in_force.get(model.pk))) for model in models]
    unpriced = sum(model.input_price is None or model.output_price is None for model in models)
    context = {"rows": rows, "asked": asked, "unpriced": unpriced, "has_any": bool(models) or found.exists()}
    return render(request, "price_book/index.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@for_staff
def edit(request: HttpRequest, public_id: str) -> HttpResponse:
    model = get_object_or_404(sold_models(), public_id=public_id)
    form = PriceForm(request.POST) if request.method == "POST" else PriceForm.of(model)
    if request.method == "POST" and form.is_valid():
        try:
            seen = form.cleaned_data.pop("price_version")
            services.update_model(model, current.actor_of(request), form.cleaned_data, seen_version=seen)
            messages.success(request, _("Saved. The next request is priced so."))
            return redirect("price-book-model", public_id)
        except InvalidConnection as refusal:
            form.absorb(refusal)
    found = PriceVersion.objects.filter(target_id=model.pk).order_by("-version")
    history = [_with_tiers(row) for row in found]
    context = {"model": model, "form": form, "history": history}
    return render(request, "price_book/model.html", context, status=422 if form.errors else 200)


@require_GET
@for_staff
def export(request: HttpRequest) -> HttpResponse:
    """Every version of every price and its tiers, in US dollars per million tokens."""
    return csv_download(f"prices-{timezone.now():%Y-%m-%d}.csv", _csv_rows())


def _csv_rows() -> Iterator[tuple[Any, ...]]:
    yield ("connection", "model", "target_id", "version", "valid_from", "valid_until", *_HEADS)
    models = {model.pk: model for model in sold_models()}
    for row in PriceVersion.objects.filter(target_id__in=models).order_by("target_id", "version"):
        model = models[row.target_id]
        about = (model.connection.slug, model.model_id, row.target_id, row.version, row.valid_from, row.valid_until)
        _row, plain, tiers = _with_tiers(row)
        for tier in (plain, *tiers):
            above = tier.above_tokens if tier else ""
            yield (*about, _said(row.request_nanos), above, *_rates_of(tier))


def _rates_of(tier: Tier | None) -> list[str]:
    return ["" if tier is None else _said(getattr(tier, name)) for name in _FIGURES]


def sold_models() -> QuerySet[ServedModel]:
    """Of the platform's own connections, the only ones whose use it charges for."""
    return (
        ServedModel.objects.filter(org=None, connection__org=None)
        .select_related("connection")
        .order_by("connection__name", "model_id")
    )


def _with_tiers(row: PriceVersion | None) -> tuple[PriceVersion | None, Tier | None, Sequence[Tier]]:
    """With what it costs, and what long prompts do; None where nobody knows."""
    rates = None if row is None else rates_of(row)
    if rates is None:
        return row, None, ()
    plain, *tiers = tiers_within(rates, sys.maxsize)
    return row, plain, tiers


def _said(nanos: int | None) -> str:
    return "" if nanos is None else usd_text(nanos)
