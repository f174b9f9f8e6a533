"""Choosing the organisation that the pages show, and founding one."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts import current, organizations
from accounts.errors import InvalidField, OrganizationGone
from console.forms.organizations import OrganizationForm
from console.visit import signed_in


@require_POST
@login_required
def switch(request: HttpRequest) -> HttpResponse:
    try:
        current.switch(request, request.POST.get("organization", ""))
    except OrganizationGone as refusal:
        raise Http404 from refusal
    return redirect("home")


@require_http_methods(["GET", "POST"])
@login_required
def create(request: HttpRequest) -> HttpResponse:
    form = OrganizationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = organizations.create_organization(
                signed_in(request), form.cleaned_data["name"], current.actor_of(request)
            )
            current.switch(request, made.public_id)
            return redirect("home")
        except InvalidField as refusal:
            form.absorb(refusal)
    return render(request, "organizations/create.html", {"form": form}, status=422 if form.errors else 200)
