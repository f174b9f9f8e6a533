"""Pausing, draining, resuming and removing one machine: the question first, with what it takes away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import current
from accounts.audit import Actor
from accounts.roles import Permission
from console.consequences import without
from console.machines import seen_now
from console.pages.node_detail import get_node
from console.visit import Visit, page
from nodes import services
from nodes.errors import NodeRevoked
from nodes.models import Node


@dataclass(frozen=True, slots=True)
class Act:
    """Something done to a machine after its consequences were read."""

    name: str
    do: Callable[[Node, Actor], Node]
    question: Promise
    button: Promise
    done: Promise


ACTS = {
    each.name: each
    for each in (
        Act(
            "pause",
            services.pause_node,
            _("Pause “%(name)s”?"),
            _("Pause"),
            _("“%(name)s” is paused: it gets nothing new."),
        ),
        Act(
            "drain",
            services.drain_node,
            _("Drain “%(name)s”?"),
            _("Drain"),
            _("“%(name)s” is being drained: it finishes what it has."),
        ),
        Act(
            "remove",
            services.remove_node,
            _("Remove “%(name)s”?"),
            _("Remove machine"),
            _("“%(name)s” is removed."),
        ),
    )
}
RESUME = Act("resume", services.resume_node, _("Resume"), _("Resume"), _("“%(name)s” takes requests again."))


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_NODES)
def act(request: HttpRequest, visit: Visit, public_id: str, name: str) -> HttpResponse:
    node, chosen = get_node(visit, public_id), ACTS[name]
    if name == "remove":
        current.require_recent_authentication(request)
    typed = request.POST.get("typed_name", "").strip()
    is_wrong = request.method == "POST" and name == "remove" and typed != node.slug
    if request.method == "POST" and not is_wrong:
        return _done(request, visit, node, chosen)
    context = {
        "node": node,
        "act": chosen,
        "question": chosen.question % {"name": node.name},
        "machine": seen_now([node])[0],
        "loss": without(node),
        "typed": typed,
        "is_wrong": is_wrong,
    }
    return render(request, "nodes/act.html", context, status=422 if is_wrong else 200)


@require_POST
@page(Permission.MANAGE_NODES)
def resume(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    return _done(request, visit, get_node(visit, public_id), RESUME)


def _done(request: HttpRequest, visit: Visit, node: Node, chosen: Act) -> HttpResponse:
    try:
        chosen.do(node, visit.actor)
        messages.success(request, chosen.done % {"name": node.name})
    except NodeRevoked as refusal:
        messages.error(request, refusal.message)
    if chosen.name == "remove":
        return redirect("nodes")
    return redirect("nodes-detail", public_id=node.public_id)
