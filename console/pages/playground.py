"""The Playground: one model, or several side by side, streamed by the same gateway as everybody's calls.

The page itself calls `/v1` with a key that lives a quarter of an hour and only in the page's memory: a session never
opens the gateway.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.authentication import INFERENCE
from accounts.keys import create_key
from accounts.roles import Permission
from console import figures
from console.offers import is_pinned, model_names
from console.visit import Visit, page
from metering.models import Usage
from metering.queries import get_request
from routing.comparison import MOST

KEY_LIVES = timedelta(minutes=15)


@require_GET
@page(Permission.USE_PLAYGROUND)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    """`?model=a&model=b` asks both, side by side."""
    models = model_names(visit)
    asked = list(dict.fromkeys(request.GET.getlist("model")))[:MOST]
    models = [name for name in asked if name not in models and is_pinned(visit, name)] + models
    chosen = [name for name in asked if name in models] or models[:1]
    context = {"models": models, "chosen": chosen, "base_url": f"{settings.PUBLIC_URL}/v1"}
    return render(request, "playground/index.html", context)


@never_cache
@require_POST
@page(Permission.USE_PLAYGROUND)
def mint(request: HttpRequest, visit: Visit) -> HttpResponse:
    made = create_key(
        visit.organization,
        visit.actor,
        name="Playground",
        scopes=[INFERENCE],
        created_by=visit.user,
        expires_at=timezone.now() + KEY_LIVES,
        is_ephemeral=True,
    )
    return JsonResponse({"key": made.plain, "lives_s": int(KEY_LIVES.total_seconds())}, status=201)


@never_cache
@require_GET
@page(Permission.USE_PLAYGROUND)
def facts(request: HttpRequest, visit: Visit, request_id: str) -> HttpResponse:
    """What one answer took, once its usage is recorded; 204 until then, and for what is not theirs."""
    try:
        usage = get_request(visit.organization, request_id)
    except Usage.DoesNotExist:
        return HttpResponse(status=204)
    told = {
        "target": usage.target,
        "attempts": usage.attempt_count,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache": usage.cache,
        "cost_nanos": usage.cost_nanos,
        "cost": figures.usd(usage.cost_nanos),
        "cost_exact": figures.usd_exact(usage.cost_nanos),
    }
    return JsonResponse(told)
