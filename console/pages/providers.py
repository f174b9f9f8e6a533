"""Providers: the list, the gallery of kinds, a connection with its health, keys and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import audit, current
from accounts.roles import Permission
from console import faults
from console.availability import availability_of
from console.forms.providers import AddKeyForm, ConnectionForm, FaultForm, initial_of, initial_of_preset
from console.health import Vitals, known_of, vitals_of
from console.offers import connections_in_sight
from console.targets import changes_of, states_of_served
from console.visit import Visit, page, wants_fragment
from providers import services
from providers.errors import InvalidConnection
from providers.models import Connection, ServedModel
from providers.presets import PRESETS, Preset
from providers.states import TargetState


@dataclass(frozen=True, slots=True)
class Row:
    connection: Connection
    vitals: Vitals
    host: str


@require_GET
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    connections = list(
        connections_in_sight(visit.organization)
        .annotate(model_count=Count("served_models", filter=Q(served_models__enabled=True)))
        .select_related("pulse")
        .prefetch_related("keys")
        .order_by("priority", "name")
    )
    vitals = vitals_of(visit.organization, connections)
    rows = [Row(each, vitals[each.pk], host_of(each)) for each in connections]
    template = "providers/_table_live.html" if wants_fragment(request) else "providers/index.html"
    return render(request, template, {"rows": rows, "may_manage": visit.allows(Permission.MANAGE_PROVIDERS)})


@require_GET
@page(Permission.MANAGE_PROVIDERS)
def gallery(request: HttpRequest, visit: Visit) -> HttpResponse:
    presets = list(PRESETS.values())
    context = {
        "cloud": [each for each in presets if not each.local and each.base_url],
        "local": [each for each in presets if each.local or not each.base_url],
    }
    return render(request, "providers/gallery.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_PROVIDERS)
def create(request: HttpRequest, visit: Visit, preset_id: str) -> HttpResponse:
    preset = get_preset(preset_id)
    current.require_recent_authentication(request)
    form = ConnectionForm(request.POST or None, preset=preset, is_new=True, initial=initial_of_preset(preset))
    if request.method == "POST" and form.is_valid():
        try:
            made = services.create_connection(
                visit.organization, visit.actor, preset=preset.id, options=form.options(), **_entered(form)
            )
            messages.success(request, _("Saved. Now test it and choose its models."))
            return redirect("providers-models", public_id=made.public_id)
        except InvalidConnection as refusal:
            form.absorb(refusal)
    status = 422 if form.errors else 200
    return render(request, "providers/create.html", {"form": form, "preset": preset}, status=status)


@require_GET
@page(Permission.VIEW)
def detail(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    connection = get_connection(visit, public_id)
    template = "providers/_live.html" if wants_fragment(request) else "providers/detail.html"
    return render(request, template, about(visit, connection))


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_PROVIDERS)
def edit(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    connection = get_own(visit, public_id)
    preset = PRESETS[connection.preset]
    current.require_recent_authentication(request)
    form = ConnectionForm(request.POST or None, preset=preset, is_new=False, initial=initial_of(connection))
    if request.method == "POST" and form.is_valid():
        try:
            changed = services.update_connection(
                connection,
                visit.actor,
                options=form.options(connection.options),
                **_entered(form),
            )
            _tell_of_change(request, changed)
            return redirect("providers-detail", public_id=public_id)
        except InvalidConnection as refusal:
            form.absorb(refusal)
    context = {"form": form, "connection": connection, "preset": preset}
    return render(request, "providers/edit.html", context, status=422 if form.errors else 200)


def _tell_of_change(request: HttpRequest, changed: services.Updated) -> None:
    if changed.keys_cleared:
        messages.warning(request, _("Saved. The URL leads elsewhere now, so the stored keys were forgotten."))
    else:
        messages.success(request, _("Saved."))


@require_POST
@page(Permission.MANAGE_PROVIDERS)
def switch(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    connection = get_own(visit, public_id)
    if request.POST.get("enabled") == "true":
        services.enable_connection(connection, visit.actor)
        messages.success(request, _("“%(name)s” is enabled.") % {"name": connection.name})
    else:
        services.disable_connection(connection, visit.actor)
        messages.success(request, _("“%(name)s” is disabled: no new request goes there.") % {"name": connection.name})
    return redirect("providers-detail", public_id=public_id)


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_PROVIDERS)
def delete(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    connection = get_own(visit, public_id)
    if request.method == "POST":
        services.delete_connection(connection, visit.actor)
        messages.success(request, _("“%(name)s” is deleted.") % {"name": connection.name})
        return redirect("providers")
    context = {"connection": connection, "loss": services.loss_without(connection)}
    return render(request, "providers/delete.html", context)


@require_POST
@page(Permission.MANAGE_PROVIDERS)
def set_fault(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    connection = get_connection(visit, public_id)
    if not faults.is_switchable(connection):
        raise Http404
    try:
        known = faults.read(connection)
        form = FaultForm(request.POST, faults=list(known.faults))
        if form.is_valid():
            played = faults.switch(connection, form.cleaned_data["fault"], form.cleaned_data["share"])
            _note_fault(visit, connection, known, played)
            messages.success(request, _("“%(name)s” plays it from now on.") % {"name": connection.name})
    except faults.ControlAway:
        messages.error(request, _("The simulated provider does not answer."))
    return redirect("providers-detail", public_id=public_id)


def _note_fault(visit: Visit, connection: Connection, was: faults.FaultState, now: faults.FaultState) -> None:
    before, after = ({"fault": state.current, "share": state.share} for state in (was, now))
    with transaction.atomic():
        audit.record(
            visit.organization,
            visit.actor,
            "connection.fault_played",
            "connection",
            connection.public_id,
            label=connection.name,
            before=before,
            after=after,
        )


def about(visit: Visit, connection: Connection) -> dict[str, Any]:
    may_manage = visit.allows(Permission.MANAGE_PROVIDERS)
    is_own = connection.org_id == visit.organization.pk
    return {
        "connection": connection,
        "preset": PRESETS.get(connection.preset),
        "host": host_of(connection),
        "vitals": vitals_of(visit.organization, [connection])[connection.pk],
        "keys": sorted(connection.keys.all(), key=lambda key: key.created_at),
        "models": models_of(connection),
        "availability": availability_of(visit.organization, [connection])[connection.pk],
        "changes": changes_of(connection, tells_all=is_own),
        "is_own": is_own,
        "may_change": may_manage and is_own,
        "add_key": AddKeyForm(),
        "fault": _fault_form(connection) if may_manage else None,
    }


def models_of(connection: Connection) -> list[tuple[ServedModel, TargetState]]:
    models = list(connection.served_models.order_by("kind", "model_id"))
    states = states_of_served(models, known_of([connection]))
    return [(model, states[model.pk]) for model in models]


def _fault_form(connection: Connection) -> FaultForm | None:
    if not faults.is_switchable(connection):
        return None
    try:
        state = faults.read(connection)
    except faults.ControlAway:
        return None
    return FaultForm(faults=list(state.faults), initial={"fault": state.current, "share": f"{state.share:g}"})


def get_connection(visit: Visit, public_id: str) -> Connection:
    found = connections_in_sight(visit.organization).select_related("pulse").prefetch_related("keys")
    return get_object_or_404(found, public_id=public_id)


def get_own(visit: Visit, public_id: str) -> Connection:
    """The platform's connections are in sight, but not the organisation's to change."""
    return get_object_or_404(Connection.objects.of(visit.organization), public_id=public_id)


def host_of(connection: Connection) -> str:
    return urlsplit(connection.base_url).netloc


def get_preset(preset_id: str) -> Preset:
    if preset_id not in PRESETS:
        raise Http404
    return PRESETS[preset_id]


def _entered(form: ConnectionForm) -> dict[str, Any]:
    return {name: form.cleaned_data[name] for name in ("name", "base_url", "api_keys", "priority")}
