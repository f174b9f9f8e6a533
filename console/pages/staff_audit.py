"""The operator's trail: what staff and commands did that is no organisation's. For staff."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from console.pages import audit
from console.pages.audit import Trail
from console.pages.causes import for_staff
from ledger import proofs

TRAIL = Trail(None, "UTC", "staff-audit")


@never_cache
@require_GET
@for_staff
def index(request: HttpRequest) -> HttpResponse:
    return audit.shown(request, TRAIL, proof=proofs.standing())


@never_cache
@require_GET
@for_staff
def verify(request: HttpRequest) -> HttpResponse:
    return audit.verified(request, TRAIL)


@never_cache
@require_GET
@for_staff
def export(request: HttpRequest) -> StreamingHttpResponse:
    return audit.exported(request, TRAIL)
