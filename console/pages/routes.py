"""Routes: the list, one route with its draft and versions, writing a draft, publishing, going back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.errors import InvalidField
from accounts.roles import Permission
from console.forms.route_rules import RuleEditor, acted, of_post, of_sentences
from console.forms.routes import RouteForm, initial_of
from console.route_sentences import changes, sentences
from console.route_templates import Offered, offered
from console.rule_sentences import Clause
from console.visit import Visit, page
from routing.canaries import compare
from routing.drafts import discard_draft, explain_draft, publish_draft, roll_back, save_draft
from routing.explanation import imagined_of_kind
from routing.models import Canary, Route, RouteDraft
from routing.rule_people import doubts_about
from routing.services import delete_route
from routing.tester import explain_call, targets_now
from routing.versions import content_of

_TOKENS = 1000
_SHOWN_VERSIONS = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """A name of the list: live, drafted, or both."""

    name: str
    route: Route | None
    draft: RouteDraft | None
    sentences: list[list[Clause]]


@require_GET
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    may_manage = visit.allows(Permission.MANAGE_ROUTES)
    templates = offered(visit.organization) if may_manage else []
    return render(
        request, "routes/index.html", {"entries": _entries(visit), "may_manage": may_manage, "templates": templates}
    )


@require_GET
@page(Permission.VIEW)
def show(request: HttpRequest, visit: Visit, name: str) -> HttpResponse:
    route, draft = _find(visit, name)
    context: dict[str, Any] = {
        "name": name,
        "route": route,
        "draft": draft,
        "may_manage": visit.allows(Permission.MANAGE_ROUTES),
        "versions": _versions(route) if route else [],
    }
    call = imagined_of_kind(name, "chat", _TOKENS, None, frozenset())
    if draft is not None:
        context["draft_sentences"] = sentences(name, draft.content)
        context["changes"] = changes(name, content_of(route), draft.content) if route else []
        context["told"] = explain_draft(draft, call)
    elif route is not None:
        context["told"] = explain_call(visit.organization, call)
    if route is not None:
        context["sentences"] = sentences(name, content_of(route))
        context |= _canary(route)
    return render(request, "routes/show.html", context)


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_ROUTES)
def create(request: HttpRequest, visit: Visit) -> HttpResponse:
    return _edited(request, visit, None, {})


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_ROUTES)
def edit(request: HttpRequest, visit: Visit, name: str) -> HttpResponse:
    route, draft = _find(visit, name)
    return _edited(request, visit, name, draft.content if draft else content_of(route))  # type: ignore[arg-type]


@require_POST
@page(Permission.MANAGE_ROUTES)
def use_template(request: HttpRequest, visit: Visit, slug: str) -> HttpResponse:
    chosen = next((each for each in offered(visit.organization) if each.template.slug == slug), None)
    if chosen is None or chosen.content is None:
        raise Http404
    draft = save_draft(visit.organization, visit.actor, _free_name(visit, chosen), chosen.content)
    messages.success(request, _("A draft, made of what you can call. Nothing is live until you publish it."))
    return redirect("routes-show", name=draft.name)


@require_POST
@page(Permission.MANAGE_ROUTES)
def publish(request: HttpRequest, visit: Visit, name: str) -> HttpResponse:
    draft = _draft(visit, name)
    try:
        publish_draft(draft, visit.actor)
        messages.success(
            request, _("“%(name)s” is live. Every gateway process knows within a second.") % {"name": name}
        )
    except InvalidField as refusal:
        messages.error(request, refusal.message)
    return redirect("routes-show", name=name)


@require_POST
@page(Permission.MANAGE_ROUTES)
def discard(request: HttpRequest, visit: Visit, name: str) -> HttpResponse:
    discard_draft(_draft(visit, name), visit.actor)
    messages.success(request, _("The draft is gone."))
    return redirect("routes-show", name=name) if _route(visit, name) else redirect("routes")


@require_POST
@page(Permission.MANAGE_ROUTES)
def rollback(request: HttpRequest, visit: Visit, number: int, name: str) -> HttpResponse:
    route = get_object_or_404(_routes(visit), name=name)
    try:
        roll_back(route, visit.actor, number)
        said = _("“%(name)s” is again what version %(number)d said.") % {"name": name, "number": number}
        messages.success(request, said)
    except InvalidField as refusal:
        messages.error(request, refusal.message)
    return redirect("routes-show", name=name)


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_ROUTES)
def delete(request: HttpRequest, visit: Visit, name: str) -> HttpResponse:
    route = get_object_or_404(_routes(visit), name=name)
    if request.method == "POST":
        delete_route(route, visit.actor)
        messages.success(request, _("“%(name)s” is deleted.") % {"name": name})
        return redirect("routes")
    return render(request, "routes/delete.html", {"name": name})


def _edited(request: HttpRequest, visit: Visit, name: str | None, content: Mapping[str, Any]) -> HttpResponse:
    """A button of the rules changes the page and saves nothing; only without one is what was sent a draft."""
    act = request.POST.get("act", "")
    is_saving = request.method == "POST" and not act
    form = _route_form(request, name, content, is_saving=is_saving)
    rules = of_post(request.POST) if request.method == "POST" else of_sentences(content.get("rules", ()))
    editor = RuleEditor(acted(rules, act) if act else rules, checks=is_saving)
    if is_saving and all([form.is_valid(), editor.is_valid()]):
        try:
            given = {**form.content(), "rules": editor.sentences()}
            draft = save_draft(visit.organization, visit.actor, form.cleaned_data["name"], given)
            for doubt in doubts_about(visit.organization, draft.content["rules"]):
                told = _("%(doubt)s The rule is saved; that name fits no request until somebody has it.")
                messages.warning(request, told % {"doubt": doubt})
            return redirect("routes-show", name=draft.name)
        except InvalidField as refusal:
            if (others := editor.absorb(refusal)) is not None:
                form.absorb(others)
    context = {
        "form": form,
        "editor": editor,
        "name": name,
        "known": sorted(targets_now(visit.organization)),
        "time_zone": visit.organization.time_zone,
    }
    is_wrong = is_saving and (form.errors or editor.errors)
    return render(request, "routes/edit.html", context, status=422 if is_wrong else 200)


def _route_form(request: HttpRequest, name: str | None, content: Mapping[str, Any], *, is_saving: bool) -> RouteForm:
    initial = initial_of(name, content) if name else None
    if request.method == "POST" and not is_saving:
        initial = {**(initial or {}), **{field: request.POST.get(field, "") for field in RouteForm.base_fields}}
        initial["name"] = name or initial["name"]
    form = RouteForm(request.POST if is_saving else None, initial=initial)
    form.fields["name"].disabled = name is not None
    return form


def _entries(visit: Visit) -> list[Entry]:
    routes = {route.name: route for route in _routes(visit)}
    drafts = {draft.name: draft for draft in RouteDraft.objects.of(visit.organization)}
    return [_entry(name, routes.get(name), drafts.get(name)) for name in sorted({*routes, *drafts})]


def _entry(name: str, route: Route | None, draft: RouteDraft | None) -> Entry:
    content = content_of(route) if route else draft.content  # type: ignore[union-attr]
    return Entry(name, route, draft, sentences(name, content))


def _canary(route: Route) -> dict[str, Any]:
    """The one that runs, or the latest if it was rolled back."""
    row = Canary.objects.filter(route=route).order_by("-pk").first()
    if row is None or row.state not in (Canary.RUNNING, Canary.ROLLED_BACK):
        return {}
    return {"canary": row, "compared": compare(row), "canary_sentences": sentences(route.name, row.content)}


def _versions(route: Route) -> list[dict[str, Any]]:
    """Newest first, each with what it changed."""
    rows = list(route.versions.order_by("-number")[: _SHOWN_VERSIONS + 1])
    older = [*(row.content for row in rows[1:]), {}]
    shown = [
        {"row": row, "changes": changes(route.name, before, row.content) if before else [], "is_live": index == 0}
        for index, (row, before) in enumerate(zip(rows, older, strict=True))
    ]
    return shown[:_SHOWN_VERSIONS]


def _free_name(visit: Visit, chosen: Offered) -> str:
    taken = {entry.name for entry in _entries(visit)}
    slug = chosen.template.slug
    names = (slug if number == 1 else f"{slug}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _routes(visit: Visit) -> Any:
    return Route.objects.of(visit.organization).select_related("org")


def _route(visit: Visit, name: str) -> Route | None:
    found: Route | None = _routes(visit).filter(name=name).first()
    return found


def _draft(visit: Visit, name: str) -> RouteDraft:
    return get_object_or_404(RouteDraft.objects.of(visit.organization).select_related("org"), name=name)


def _find(visit: Visit, name: str) -> tuple[Route | None, RouteDraft | None]:
    """At least one of the two. Raises: Http404."""
    route = _route(visit, name)
    draft = RouteDraft.objects.of(visit.organization).select_related("org").filter(name=name).first()
    if route is None and draft is None:
        raise Http404
    return route, draft
