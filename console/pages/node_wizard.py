"""Adding machines: a token, what to run with it, and how far the machine has come, live.

The token's text stands in the answer that made it and nowhere else; its own page follows without it.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import current
from accounts.roles import Permission
from console.forms.nodes import FLEET, ONE, TokenForm
from console.machines import Machine, seen_now
from console.visit import Visit, page, wants_fragment
from nodes.commands import commands
from nodes.enrolment import create_token, revoke_token, tokens_of
from nodes.errors import InvalidNode
from nodes.ladder import DONE, Rung, ladder
from nodes.models import EnrolmentToken
from nodes.services import nodes_of

PLATFORMS = (("ubuntu", "Ubuntu"), ("macos", "macOS"), ("windows", "Windows"), ("docker", "Docker"))
_TELLING = (("Windows", "windows"), ("Mac OS X", "macos"), ("Macintosh", "macos"))
_MOST_SHOWN = 200
_OPEN_TOKENS = 100


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_NODES)
def create(request: HttpRequest, visit: Visit) -> HttpResponse:
    current.require_recent_authentication(request)
    size = FLEET if request.GET.get("for") == FLEET else ONE
    form = TokenForm(request.POST or None, initial={"size": size})
    if request.method == "POST" and form.is_valid():
        try:
            made = create_token(visit.organization, visit.actor, created_by=visit.user, **form.wanted())
            shown = _about(request, visit, made.token) | {"commands": commands(settings.PUBLIC_URL, made.plain)}
            return render(request, "nodes/wizard.html", shown, status=201)
        except InvalidNode as refusal:
            form.absorb(refusal)
    context = {"form": form, "size": form["size"].value(), "open_tokens": open_tokens(visit)}
    return render(request, "nodes/new.html", context, status=422 if form.errors else 200)


@never_cache
@require_GET
@page(Permission.MANAGE_NODES)
def follow(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    """How far the machines of one token have come; without the token."""
    context = _about(request, visit, _get(visit, public_id))
    if request.GET.get("part") == "try":
        return render(request, "nodes/_try.html", context) if context["routable"] else HttpResponse(status=204)
    return render(request, "nodes/_progress.html" if wants_fragment(request) else "nodes/wizard.html", context)


@require_POST
@page(Permission.MANAGE_NODES)
def revoke(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    revoke_token(_get(visit, public_id), visit.actor)
    messages.success(request, _("The token is withdrawn. Machines that are in stay."))
    return redirect("nodes-token", public_id=public_id)


def open_tokens(visit: Visit) -> list[EnrolmentToken]:
    now = timezone.now()
    alive = tokens_of(visit.organization).filter(revoked_at=None, expires_at__gt=now).order_by("-created_at")
    return [token for token in alive[:_OPEN_TOKENS] if token.status(now) == "open"]


def platform_of(user_agent: str) -> str:
    """Of the computer somebody sits at, which most likely is the one to add."""
    return next((name for word, name in _TELLING if word in user_agent), "ubuntu")


def _about(request: HttpRequest, visit: Visit, token: EnrolmentToken) -> dict[str, Any]:
    nodes = nodes_of(visit.organization).filter(enrolled_with=token).prefetch_related("served_models")
    machines = seen_now(list(nodes.order_by("created_at")[:_MOST_SHOWN]))
    return {
        "token": token,
        "status": token.status(timezone.now()),
        "ttl": int((token.expires_at - token.created_at).total_seconds()),
        "is_fleet": token.count > 1,
        "machines": machines,
        "routable": sum(each.is_routable for each in machines),
        "rungs": rungs_of(machines[0] if machines else None),
        "machine": machines[0] if machines else None,
        "platforms": PLATFORMS,
        "chosen": platform_of(request.headers.get("User-Agent", "")),
        "may_play": visit.allows(Permission.USE_PLAYGROUND),
    }


def rungs_of(machine: Machine | None) -> list[tuple[Rung, bool]]:
    """Each with whether it is the one that is being climbed."""
    rungs = machine.rungs if machine else ladder(None)
    current = next((rung for rung in rungs if rung.state != DONE), None)
    return [(rung, rung is current) for rung in rungs]


def _get(visit: Visit, public_id: str) -> EnrolmentToken:
    return get_object_or_404(tokens_of(visit.organization), public_id=public_id)
