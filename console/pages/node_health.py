"""The health of a machine's models: what is in use, what changed and why; and what its word is doubted for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.roles import Permission
from console.targets import changes_of_machines, states_of_machines
from console.visit import Visit, page
from nodes import services
from nodes.doubts import doubts_about
from nodes.models import PRIVATE, Node, NodeModel
from nodes.sources import target_id_of
from routing import health_control

DOUBTS_FOR = timedelta(days=30)
MOST_DOUBTS = 50


@require_POST
@page(Permission.MANAGE_NODES)
def set_health(request: HttpRequest, visit: Visit, public_id: str, model_id: str) -> HttpResponse:
    """Takes a model of the machine out of use, or forgets what was held against it."""
    node = get_object_or_404(services.nodes_of(visit.organization), public_id=public_id)
    own = NodeModel.objects.of(visit.organization).filter(node=node, node__revoked_at=None)
    model = get_object_or_404(own.select_related("node__org"), public_id=model_id)
    if request.POST.get("wish") == "hold":
        health_control.hold_open(visit.organization, visit.actor, model)
        messages.success(request, _("“%(name)s” gets no requests until you reset it.") % {"name": model.model_id})
    else:
        health_control.reset(visit.organization, visit.actor, model)
        messages.success(request, _("“%(name)s” is in use again.") % {"name": model.model_id})
    return redirect("nodes-detail", public_id=public_id)


def health_of(node: Node) -> dict[str, Any]:
    """What the page of a machine shows of it."""
    models = sorted(node.served_models.all(), key=lambda row: row.model_id)
    states = states_of_machines(models)
    offered = [(row, states[target_id_of(row)]) for row in models if row.advertised]
    return {"health": offered, "changes": changes_of_machines(states)}


def doubts_of(node: Node) -> dict[str, Any]:
    """Of the last month, where there is anything to doubt: an owner's own requests cost nobody."""
    found = list(doubts_about(node, timezone.now() - DOUBTS_FOR)[:MOST_DOUBTS])
    return {"doubts": found, "is_recounted": bool(found) or node.visibility != PRIVATE}
