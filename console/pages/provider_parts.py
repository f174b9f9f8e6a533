"""The parts of a connection: its test, its pool of keys, its models and their prices."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import current
from accounts.database import give_back_connection
from accounts.roles import Permission
from console.forms.providers import AddKeyForm, ConnectionForm, ModelForm, initial_of_model
from console.pages.providers import about, get_own, get_preset
from console.visit import Visit, page, wants_fragment
from providers import services
from providers.catalog import SuggestedModel, suggest_models
from providers.errors import InvalidConnection
from providers.models import Connection, ConnectionKey, ServedModel
from providers.probe import ConnectionDraft, test_and_remember, test_connection
from routing import health_control


@require_POST
@page(Permission.MANAGE_PROVIDERS)
def test_draft(request: HttpRequest, visit: Visit, preset_id: str) -> HttpResponse:
    """Tries what stands in the form of a new connection; nothing is saved."""
    preset = get_preset(preset_id)
    form = ConnectionForm(request.POST, preset=preset, is_new=False)
    if not form.is_valid():
        return render(request, "providers/_report.html", {"form_errors": form.errors.values()})
    keys = form.cleaned_data["api_keys"]
    draft = ConnectionDraft(preset.id, form.cleaned_data["base_url"], keys[0] if keys else "", form.options())
    give_back_connection()  # a vendor may take its time
    try:
        return render(request, "providers/_report.html", {"report": test_connection(draft)})
    except InvalidConnection as refusal:
        return render(request, "providers/_report.html", {"refusal": refusal.message})


@require_POST
@page(Permission.MANAGE_PROVIDERS)
def test(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    connection = get_own(visit, public_id)
    report = test_and_remember(connection)
    if wants_fragment(request):
        return render(request, "providers/_report.html", {"report": report})
    if report.ok:
        messages.success(request, _("It works: answered in %(ms)d ms.") % {"ms": report.latency_ms or 0})
    else:
        messages.error(request, report.error)
    return redirect("providers-detail", public_id=public_id)


@never_cache
@require_POST
@page(Permission.MANAGE_PROVIDERS)
def add_key(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    connection = get_own(visit, public_id)
    current.require_recent_authentication(request)
    form = AddKeyForm(request.POST)
    if form.is_valid():
        try:
            services.add_key(connection, visit.actor, form.cleaned_data["key"], label=form.cleaned_data["label"])
            messages.success(request, _("The key is stored, sealed."))
            return redirect("providers-detail", public_id=public_id)
        except InvalidConnection as refusal:
            form.absorb(refusal)
    return render(request, "providers/detail.html", about(visit, connection) | {"add_key": form}, status=422)


@require_POST
@page(Permission.MANAGE_PROVIDERS)
def change_key(request: HttpRequest, visit: Visit, public_id: str, key_id: str) -> HttpResponse:
    """Parks, unparks or removes a vendor's key."""
    connection = get_own(visit, public_id)
    key = get_object_or_404(
        ConnectionKey.objects.select_related("connection__org"), connection=connection, public_id=key_id
    )
    wish = request.POST.get("wish")
    if wish == "park":
        services.park_key(key, visit.actor, _("set aside by %(name)s") % {"name": visit.user.get_short_name()})
    elif wish == "unpark":
        services.unpark_key(key, visit.actor)
    elif wish == "remove":
        current.require_recent_authentication(request)
        services.remove_key(key, visit.actor)
        messages.success(request, _("The key is forgotten."))
    return redirect("providers-detail", public_id=public_id)


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_PROVIDERS)
def choose_models(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    """Lists what the vendor offers and serves what is ticked, besides what was entered by hand."""
    connection = get_own(visit, public_id)
    if request.method == "POST":
        try:
            kept = services.set_models(connection, visit.actor, _ticked(connection, request.POST.getlist("model")))
            served_now = ngettext("%(n)d model is served.", "%(n)d models are served.", len(kept))
            messages.success(request, served_now % {"n": len(kept)})
            return redirect("providers-detail", public_id=public_id)
        except InvalidConnection as refusal:
            messages.error(request, refusal.message)
    report = test_and_remember(connection)
    served = {model.upstream_id: model for model in connection.served_models.all()}
    context = {
        "connection": connection,
        "report": report,
        "suggested": [_choice(each, served) for each in suggest_models(connection.preset, report.models)],
        "others": [model for name, model in sorted(served.items()) if name not in set(report.models)],
    }
    return render(request, "providers/models.html", context)


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_PROVIDERS)
def edit_model(request: HttpRequest, visit: Visit, public_id: str, model_id: str) -> HttpResponse:
    connection = get_own(visit, public_id)
    model = get_object_or_404(
        ServedModel.objects.select_related("connection__org"), connection=connection, public_id=model_id
    )
    form = ModelForm(request.POST or None, initial=initial_of_model(model))
    if request.method == "POST" and form.is_valid():
        try:
            services.update_model(model, visit.actor, form.cleaned_data)
            messages.success(request, _("Saved. The next request is priced so."))
            return redirect("providers-detail", public_id=public_id)
        except InvalidConnection as refusal:
            form.absorb(refusal)
    context = {"form": form, "model": model, "connection": connection}
    return render(request, "providers/model.html", context, status=422 if form.errors else 200)


@require_POST
@page(Permission.MANAGE_PROVIDERS)
def set_health(request: HttpRequest, visit: Visit, public_id: str, model_id: str) -> HttpResponse:
    """Takes a model here out of use, or forgets what was held against it."""
    connection = get_own(visit, public_id)
    model = get_object_or_404(
        ServedModel.objects.select_related("connection"), connection=connection, public_id=model_id
    )
    if request.POST.get("wish") == "hold":
        health_control.hold_open(visit.organization, visit.actor, model)
        messages.success(request, _("“%(name)s” gets no requests until you reset it.") % {"name": model.model_id})
    else:
        health_control.reset(visit.organization, visit.actor, model)
        messages.success(request, _("“%(name)s” is in use again.") % {"name": model.model_id})
    return redirect("providers-detail", public_id=public_id)


def _choice(suggested: SuggestedModel, served: dict[str, ServedModel]) -> dict[str, Any]:
    return {"model": suggested, "checked": suggested.upstream_id in served}


def _ticked(connection: Connection, names: list[str]) -> list[dict[str, Any]]:
    """What `set_models` takes: models that are served already keep what was entered for them."""
    names = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    served = {model.upstream_id: model for model in connection.served_models.all()}
    known = {each.upstream_id: each for each in suggest_models(connection.preset, names)}
    return [_as_given(served[name]) if name in served else _as_new(known.get(name), name) for name in names]


def _as_given(model: ServedModel) -> dict[str, Any]:
    fields = ("upstream_id", "kind", "enabled", "weight", "context_tokens", "max_output_tokens", "capabilities")
    return {"id": model.model_id} | {name: getattr(model, name) for name in fields}


def _as_new(suggested: SuggestedModel | None, upstream_id: str) -> dict[str, Any]:
    if suggested is None:
        return {"id": upstream_id, "upstream_id": upstream_id}
    return {"id": suggested.model_id, "upstream_id": suggested.upstream_id, "kind": suggested.kind}
