"""One machine: how it does, why it gets no work, its models and its settings."""

from __future__ import annotations

from time import time
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.roles import Permission
from billing.earnings import figures
from console.availability import availability_of_node
from console.earning_words import NOT_EARNING
from console.forms import node_rows
from console.forms.node_rows import ModelRow
from console.forms.nodes import NodeForm, initial_of
from console.machines import counted, seen_now
from console.pages.node_health import doubts_of, health_of
from console.pages.node_wizard import rungs_of
from console.pages.nodes import EARNED_OVER
from console.served import served_lines
from console.visit import Visit, page, wants_fragment
from console.vitals import gauges_of
from console.week import DAY_NAMES, week_of
from nodes import services
from nodes.errors import InvalidNode, NodeRevoked
from nodes.heartbeat import Heartbeat
from nodes.history import drawn
from nodes.ladder import DONE
from nodes.models import Node, NodeModel
from nodes.sightings import history_of
from nodes.versions import is_older, offered_agent


@require_GET
@page(Permission.VIEW)
def detail(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    node = get_node(visit, public_id)
    if wants_fragment(request):
        return _part(request, visit, node)
    return render(request, "nodes/detail.html", _about(visit, node))


@require_POST
@page(Permission.MANAGE_NODES)
def models(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    """Which models are offered, to whom, under which name and at which price."""
    node = get_node(visit, public_id)
    rows = node_rows.typed_models(_ordered(node), request.POST)
    try:
        services.update_node(node, visit.actor, {"models": [row.wish() for row in rows]})
        messages.success(request, _("Saved. New prices count from the next request on."))
        return redirect("nodes-detail", public_id=public_id)
    except InvalidNode as refusal:
        rows, rest = node_rows.refused_models(rows, refusal)
        for text in rest:
            messages.error(request, text)
        return render(request, "nodes/detail.html", _about(visit, node, rows), status=422)
    except NodeRevoked as refusal:
        messages.error(request, refusal.message)
        return redirect("nodes-detail", public_id=public_id)


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_NODES)
def edit(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    node = get_node(visit, public_id)
    form = NodeForm(request.POST or None, initial=initial_of(node))
    hours = node_rows.typed_hours(request.POST) if request.method == "POST" else node_rows.stored_hours(node)
    if request.method == "POST" and form.is_valid():
        try:
            wanted = form.wanted() | {"calendar": [row.wish() for row in hours]}
            services.update_node(node, visit.actor, wanted)
            messages.success(request, _("Saved. The machine knows within a second."))
            return redirect("nodes-detail", public_id=public_id)
        except InvalidNode as refusal:
            hours = node_rows.refused_hours(hours, refusal)
            if not any(row.errors for row in hours):
                form.absorb(refusal)
        except NodeRevoked as refusal:
            form.absorb(refusal)
    context = {"node": node, "form": form, "hours": node_rows.with_blanks(hours), "day_names": DAY_NAMES}
    is_wrong = bool(form.errors) or any(row.errors for row in hours)
    return render(request, "nodes/edit.html", context, status=422 if is_wrong else 200)


def get_node(visit: Visit, public_id: str) -> Node:
    nodes = services.nodes_of(visit.organization).select_related("enrolled_with__created_by")
    return get_object_or_404(nodes.prefetch_related("served_models", "shares__guest"), public_id=public_id)


def _part(request: HttpRequest, visit: Visit, node: Node) -> HttpResponse:
    if request.GET.get("part") == "health":
        return render(request, "nodes/_health.html", _health(visit, node))
    part = "nodes/_lines.html" if request.GET.get("part") == "lines" else "nodes/_now.html"
    return render(request, part, now_of(visit, node))


def _health(visit: Visit, node: Node) -> dict[str, Any]:
    may_change = visit.allows(Permission.MANAGE_NODES) and not node.revoked_at
    return {"node": node, "may_change": may_change} | health_of(node)


def now_of(visit: Visit, node: Node) -> dict[str, Any]:
    """What changes while one looks."""
    (machine,) = counted(seen_now([node]))
    return {
        "machine": machine,
        "node": node,
        "heartbeat_s": Heartbeat.of(settings.NODE_DEAD_AFTER_S).every_s,
        "gauges": gauges_of(machine, drawn(history_of(node.public_id), time())),
        "rungs": rungs_of(machine),
        "is_climbing": any(rung.state != DONE for rung in machine.rungs[:-1]),
        "lines": served_lines(node),
        "may_manage": visit.allows(Permission.MANAGE_NODES),
        "may_play": visit.allows(Permission.USE_PLAYGROUND),
        "may_see_usage": visit.allows(Permission.VIEW_USAGE),
        "now": timezone.now(),
    }


def _about(visit: Visit, node: Node, rows: list[ModelRow] | None = None) -> dict[str, Any]:
    shown = now_of(visit, node) | _health(visit, node) | doubts_of(node) | _earned(visit, node)
    return shown | {
        "availability": availability_of_node(visit.organization, node),
        "may_limit": visit.allows(Permission.MANAGE_LIMITS),
        "may_see_earnings": visit.allows(Permission.VIEW_EARNINGS),
        "rows": node_rows.stored_models(_ordered(node)) if rows is None else rows,
        "week": week_of(node.calendar),
        "day_names": DAY_NAMES,
        "local_time": timezone.localtime(timezone.now(), ZoneInfo(node.time_zone)),
        "shared_with": sorted(share.guest.name for share in node.shares.all()),
        "newer": offered_agent() if is_older(node.version, offered_agent()) else "",
        "gpu_percent": round(node.gpu_below * 100),
        "price_least": f"{settings.NODE_PRICE_LEAST_USD:g}",
        "price_most": f"{settings.NODE_PRICE_MOST_USD:g}",
    }


def _earned(visit: Visit, node: Node) -> dict[str, Any]:
    """What it earned, and why it does not, for those who may know."""
    if not visit.allows(Permission.VIEW_EARNINGS):
        return {}
    since = timezone.now().date() - EARNED_OVER
    reasons = [NOT_EARNING[reason] for reason in figures.reasons_against(node)]
    return {"earned": figures.of_node(node, since), "not_earning": reasons}


def _ordered(node: Node) -> list[NodeModel]:
    """Those that it has first, then by name."""
    return sorted(node.served_models.all(), key=lambda row: (not row.present, row.model_id))
