"""The organisation's settings, its handing over, and its end."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import current, members, organizations
from accounts.errors import Conflict, InvalidField
from accounts.models import Organization
from accounts.roles import Permission
from console.forms.organizations import DeleteForm, SettingsForm, TransferForm
from console.visit import Visit, page
from metering import contents

_FIELDS = (
    "name",
    "time_zone",
    "default_strategy",
    "retention_days",
    "log_content",
    "content_days",
    "uses_community_nodes",
)


@require_http_methods(["GET", "POST"])
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    may_change = visit.allows(Permission.MANAGE_ORGANIZATION)
    form = SettingsForm(request.POST or None, initial=_settings_of(visit.organization))
    if request.method == "POST":
        visit.require(Permission.MANAGE_ORGANIZATION)
        if form.is_valid():
            try:
                organizations.update_organization(visit.organization, visit.actor, **form.cleaned_data)
                messages.success(request, _("Saved."))
                return redirect("settings")
            except InvalidField as refusal:
                form.absorb(refusal)
    for field in form.fields.values():
        field.disabled = not may_change
    context = {
        "form": form,
        "may_change": may_change,
        "may_transfer": visit.allows(Permission.MANAGE_OWNERS),
        "may_delete": visit.allows(Permission.DELETE_ORGANIZATION),
        "organization": visit.organization,
        "stock": contents.stock_of(visit.organization),
        "may_read": visit.allows(Permission.VIEW_CONTENT),
    }
    return render(request, "settings/index.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_OWNERS)
def transfer(request: HttpRequest, visit: Visit) -> HttpResponse:
    current.require_recent_authentication(request)
    heirs = members.members_of(visit.organization).filter(user__is_active=True).exclude(user=visit.user)
    form = TransferForm(request.POST or None, heirs=heirs)
    if request.method == "POST" and form.is_valid():
        heir = get_object_or_404(heirs, pk=form.cleaned_data["to"])
        try:
            members.transfer_ownership(visit.organization, visit.actor, heir, form.cleaned_data["typed_name"])
            messages.success(request, _("%(name)s owns the organisation now.") % {"name": heir.user.get_short_name()})
            return redirect("members")
        except (InvalidField, Conflict) as refusal:
            form.absorb(refusal)
    context = {"form": form, "organization": visit.organization, "has_heirs": heirs.exists()}
    return render(request, "settings/transfer.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@page(Permission.DELETE_ORGANIZATION)
def delete(request: HttpRequest, visit: Visit) -> HttpResponse:
    current.require_recent_authentication(request)
    form = DeleteForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            organizations.delete_organization(visit.organization, visit.actor, form.cleaned_data["typed_name"])
            messages.success(request, _("“%(name)s” is deleted.") % {"name": visit.organization.name})
            return redirect("home")
        except InvalidField as refusal:
            form.absorb(refusal)
    context = {"form": form, "organization": visit.organization}
    return render(request, "settings/delete.html", context, status=422 if form.errors else 200)


def _settings_of(organization: Organization) -> dict[str, object]:
    return {name: getattr(organization, name) for name in _FIELDS}
