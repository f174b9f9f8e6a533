"""Cache policies: for how long answers are kept, what that saved, and how what is kept is thrown away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.errors import InvalidField
from accounts.key_lines import KeyLines
from accounts.models import ApiKey
from accounts.roles import Permission
from console import offers
from console.forms.cache import TTL_CHOICES, CachePolicyForm, KnownCachePolicyForm
from console.visit import Visit, page
from metering.savings import savings
from routing import cache_services
from routing.cache_rules import KEY, MODEL, ORGANIZATION, ROUTE
from routing.models import CachePolicy, Route

SAVED_OVER = timedelta(days=7)
_ORDER = (ORGANIZATION, MODEL, ROUTE, KEY)


@dataclass(frozen=True, slots=True)
class Row:
    policy: CachePolicy
    name: str
    subject: str
    private: bool = False
    """Of a route that is served at home alone: whatever is set here, nothing is kept."""

    @property
    def kept_for(self) -> str:
        known = dict(TTL_CHOICES).get(str(self.policy.ttl_s))
        return str(known) if known else _("%(seconds)s seconds") % {"seconds": self.policy.ttl_s}


@require_GET
@page(Permission.VIEW_USAGE)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    now = timezone.now()
    total, *by_name = savings(visit.organization, now - SAVED_OVER, now)
    context = {
        "rows": _rows(visit),
        "total": total,
        "by_name": by_name,
        "may_manage": visit.allows(Permission.MANAGE_ROUTES),
    }
    return render(request, "cache/index.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_ROUTES)
def create(request: HttpRequest, visit: Visit) -> HttpResponse:
    form = CachePolicyForm(request.POST or None, visit=visit, models=offers.model_names(visit))
    return _edited(request, visit, form, None)


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_ROUTES)
def edit(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    policy = _get(visit, public_id)
    return _edited(request, visit, KnownCachePolicyForm(request.POST or None, visit=visit, policy=policy), policy)


@require_POST
@page(Permission.MANAGE_ROUTES)
def delete(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    cache_services.delete_policy(_get(visit, public_id), visit.actor)
    messages.success(request, _("Deleted. What it kept is not given any more."))
    return redirect("cache")


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_ROUTES)
def purge(request: HttpRequest, visit: Visit) -> HttpResponse:
    name = (request.POST if request.method == "POST" else request.GET).get("name", "")[:200]
    if request.method == "POST":
        cache_services.purge(visit.organization, visit.actor, name)
        messages.success(request, _("Purged. Every gateway process knows within a second."))
        return redirect("cache")
    return render(request, "cache/purge.html", {"name": name})


def _edited(request: HttpRequest, visit: Visit, form: CachePolicyForm, policy: CachePolicy | None) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        try:
            cache_services.put_policy(visit.organization, visit.actor, **form.wanted())
            messages.success(request, _("Saved. Every gateway process knows within a second."))
            return redirect("cache")
        except InvalidField as refusal:
            form.absorb(refusal)
    row = _row(policy, _key_names(visit), KeyLines(visit.organization.pk)) if policy else None
    return render(request, "cache/edit.html", {"form": form, "row": row}, status=422 if form.errors else 200)


def _rows(visit: Visit) -> list[Row]:
    names, lines = _key_names(visit), KeyLines(visit.organization.pk)
    policies = CachePolicy.objects.of(visit.organization).order_by("subject")
    homes = frozenset(Route.objects.of(visit.organization).filter(private=True).values_list("name", flat=True))
    rows = [_row(policy, names, lines, homes) for policy in policies]
    return sorted(rows, key=lambda row: (_ORDER.index(row.policy.scope), row.name))


def _key_names(visit: Visit) -> dict[str, str]:
    return dict(ApiKey.objects.of(visit.organization).values_list("public_id", "name"))


def _row(policy: CachePolicy, key_names: dict[str, str], lines: KeyLines, homes: frozenset[str] = frozenset()) -> Row:
    """A key that was rotated goes by the name of the one that bears its rights now."""
    if policy.scope == ORGANIZATION:
        return Row(policy, _("The whole organisation"), "")
    if policy.scope == KEY:
        newest = lines.newest(policy.subject)
        return Row(policy, key_names.get(newest, newest), newest)
    return Row(policy, policy.subject, policy.subject, policy.scope == ROUTE and policy.subject in homes)


def _get(visit: Visit, public_id: str) -> CachePolicy:
    return get_object_or_404(CachePolicy.objects.of(visit.organization).select_related("org"), public_id=public_id)
