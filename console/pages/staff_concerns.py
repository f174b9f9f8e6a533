"""What needs a person: payments, payouts and charges that nothing puts right by itself. For staff."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts import current
from accounts.models import Organization
from billing import concerns
from billing.errors import PaymentsAway, PaymentsOff, PayoutRefused
from billing.models import Concern
from console.pages.causes import for_staff
from console.payment_words import CONCERNS

_SHOWN = 200
_CLOSED_SHOWN = 50


@never_cache
@require_GET
@for_staff
def index(request: HttpRequest) -> HttpResponse:
    waiting = list(concerns.open_concerns()[:_SHOWN])
    closed = list(Concern.objects.exclude(done_at=None).order_by("-done_at", "-pk")[:_CLOSED_SHOWN])
    owners = Organization.objects.in_bulk({one.org_id for one in [*waiting, *closed] if one.org_id})
    context = {
        "waiting": [(one, *CONCERNS[one.kind], owners.get(one.org_id), _count(one)) for one in waiting],
        "total": concerns.open_concerns().count(),
        "closed": [(one, CONCERNS[one.kind][0], owners.get(one.org_id)) for one in closed],
    }
    return render(request, "staff/concerns.html", context)


@require_POST
@for_staff
def done(request: HttpRequest, pk: int) -> HttpResponse:
    current.require_recent_authentication(request)
    try:
        concerns.close(pk, current.actor_of(request))
        messages.success(request, _("Noted."))
    except (PayoutRefused, PaymentsAway, PaymentsOff) as refusal:
        messages.error(request, refusal.message)
    return redirect("staff-concerns")


def _count(concern: Concern) -> int | None:
    return concerns.unsettled_count(concern) if concern.kind == Concern.UNSETTLED else None
