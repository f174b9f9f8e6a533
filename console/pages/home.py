"""Home: the first steps, then today's figures."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.roles import Permission
from console.visit import Visit, page


@require_GET
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    return render(request, "home/index.html", {})
