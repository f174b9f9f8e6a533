"""Statements: one for each month that has been closed, to be read, printed and downloaded."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from accounts.roles import Permission
from billing import details
from billing.models import MonthlyStatement
from console import monthly
from console.downloads import csv_download
from console.visit import Visit, page

_MOST = 120


@require_GET
@page(Permission.VIEW_BILLING)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    rows = MonthlyStatement.objects.of(visit.organization).order_by("-month")[:_MOST]
    return render(request, "activity/statements.html", {"statements": [monthly.shown(row) for row in rows]})


@require_GET
@page(Permission.VIEW_BILLING)
def show(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    row = get_object_or_404(MonthlyStatement.objects.of(visit.organization), public_id=public_id)
    context = {"statement": monthly.shown(row), "details": details.details_of(visit.organization)}
    return render(request, "activity/statement.html", context)


@require_GET
@page(Permission.VIEW_BILLING)
def download(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    row = get_object_or_404(MonthlyStatement.objects.of(visit.organization), public_id=public_id)
    return csv_download(f"statement-{row.month:%Y-%m}.csv", monthly.csv_rows(monthly.shown(row)))
