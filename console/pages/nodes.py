"""Nodes: the list with its filters and what is done to many at once, and the fleets of a company."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from accounts.audit import Actor
from accounts.roles import Permission
from billing.earnings import figures
from console.fleets import BY_TAG, BY_TOKEN, fleets_of, name_of, whole
from console.forms.nodes import FilterForm
from console.machines import STATES, Machine, counted, machines_of
from console.visit import Visit, page, wants_fragment
from nodes import services
from nodes.enrolment import tokens_of
from nodes.errors import InvalidNode, NodeRevoked
from nodes.models import Node

PAGE_ROWS = 50
EARNED_OVER = timedelta(days=30)


@require_GET
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    form = FilterForm(request.GET, statuses=STATES, tags=tags_of(visit))
    said = form.said()
    status = said.pop("status")
    machines = machines_of(visit.organization, **said)
    shown = [each for each in machines if not status or each.status == status]
    pages = Paginator(shown, PAGE_ROWS)
    leaf = pages.get_page(request.GET.get("page"))
    context = {
        "form": form,
        "machines": _with_earnings(visit, counted(leaf.object_list)),
        "found": len(shown),
        "connected": sum(each.is_connected for each in shown),
        "has_any": bool(machines) or services.nodes_of(visit.organization).exists(),
        "token": _token_name(visit, said["token"]),
        "pager": _pager(request, leaf),
        "may_manage": visit.allows(Permission.MANAGE_NODES),
        "may_see_earnings": visit.allows(Permission.VIEW_EARNINGS),
    }
    return render(request, "nodes/_list.html" if wants_fragment(request) else "nodes/index.html", context)


@require_GET
@page(Permission.VIEW)
def fleets(request: HttpRequest, visit: Visit) -> HttpResponse:
    by = BY_TOKEN if request.GET.get("by") == BY_TOKEN else BY_TAG
    machines = counted(machines_of(visit.organization))
    context = {
        "by": by,
        "whole": whole(machines),
        "fleets": fleets_of(machines, by),
        "may_manage": visit.allows(Permission.MANAGE_NODES),
    }
    return render(request, "nodes/_fleets.html" if wants_fragment(request) else "nodes/fleets.html", context)


@require_POST
@page(Permission.MANAGE_NODES)
def bulk(request: HttpRequest, visit: Visit) -> HttpResponse:
    """One thing done to all that are ticked. A machine that is revoked or gone meanwhile is passed over, and said."""
    act = _ACTS.get(request.POST.get("act", ""))
    if act is None:
        raise Http404
    wanted = request.POST.getlist("node")[:PAGE_ROWS]
    done = 0
    for node in services.nodes_of(visit.organization).filter(public_id__in=wanted):
        try:
            act(node, visit.actor, request.POST)
            done += 1
        except NodeRevoked:
            continue
        except InvalidNode as refusal:
            messages.error(request, refusal.message)
            break
    _tell(request, done, len(wanted))
    return redirect(_back(request))


def _with_earnings(visit: Visit, machines: list[Machine]) -> list[Machine]:
    if not visit.allows(Permission.VIEW_EARNINGS):
        return machines
    since = timezone.now().date() - EARNED_OVER
    earned = figures.net_of_nodes(visit.organization, [each.node for each in machines], since)
    return [replace(each, earned=earned.get(each.node.pk, 0)) for each in machines]


def tags_of(visit: Visit) -> list[str]:
    found = services.nodes_of(visit.organization).exclude(tags=[]).values_list("tags", flat=True)
    return sorted({tag for tags in found for tag in tags})


def _tell(request: HttpRequest, done: int, asked: int) -> None:
    if not asked:
        messages.warning(request, _("Tick the machines first."))
    elif done:
        changed = ngettext("%(n)d machine is changed.", "%(n)d machines are changed.", done)
        messages.success(request, changed % {"n": done})
    if 0 < done < asked:
        left = ngettext("%(n)d was left as it is.", "%(n)d were left as they are.", asked - done)
        messages.warning(request, left % {"n": asked - done})


def _back(request: HttpRequest) -> str:
    """To the same page of the same list."""
    asked = request.POST.get("next", "")
    return asked if url_has_allowed_host_and_scheme(asked, allowed_hosts=None) else "nodes"


def _add_tag(node: Node, actor: Actor, said: QueryDict) -> None:
    services.update_node(node, actor, {"tags": [*node.tags, *_named(said)]})


def _drop_tag(node: Node, actor: Actor, said: QueryDict) -> None:
    gone = {tag.lower() for tag in _named(said)}
    services.update_node(node, actor, {"tags": [tag for tag in node.tags if tag not in gone]})


def _named(said: QueryDict) -> list[str]:
    return [tag.strip() for tag in said.get("tag", "").split(",") if tag.strip()]


_ACTS: dict[str, Callable[[Node, Actor, QueryDict], object]] = {
    "pause": lambda node, actor, _said: services.pause_node(node, actor),
    "drain": lambda node, actor, _said: services.drain_node(node, actor),
    "resume": lambda node, actor, _said: services.resume_node(node, actor),
    "tag": _add_tag,
    "untag": _drop_tag,
}


def _token_name(visit: Visit, public_id: str) -> str:
    """Of the token that the list is narrowed to; "" for one that is not this organisation's."""
    token = tokens_of(visit.organization).filter(public_id=public_id).first() if public_id else None
    return name_of(token) if token else ""


def _pager(request: HttpRequest, leaf: Page[Machine]) -> dict[str, str]:
    """Links to the page before and after, with the filters as they are."""
    links = {}
    for name, number in (
        ("newer", leaf.number - 1 if leaf.has_previous() else 0),
        ("older", leaf.number + 1 if leaf.has_next() else 0),
    ):
        query = request.GET.copy()
        query["page"] = str(number)
        links[name] = f"?{query.urlencode()}" if number else ""
    return links
