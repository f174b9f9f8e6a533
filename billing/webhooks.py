"""Where Stripe tells what happened: `POST /billing/stripe`.

What it says is not believed beyond which object to look at. It is noted, answered with 200, and handled by a worker,
which asks Stripe anew; what a worker misses, the next round of `billing.handle_events` finds.
"""

from __future__ import annotations

import time

import msgspec
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from billing import client, tasks
from billing.crediting import OF_ACCOUNTS
from billing.events import note

MOST_BODY_BYTES = 512 * 1024


class Object(msgspec.Struct):
    id: str = ""


class Data(msgspec.Struct):
    object: Object


class Told(msgspec.Struct):
    """`related_object` is what a thin event, of Stripe's newer kind, has instead of `data`."""

    id: str
    type: str
    data: Data | None = None
    related_object: Object | None = None
    account: str | None = None

    def about(self) -> str | None:
        """The object's id. None: it is of an account connected to ours, and of nothing that is ours to know."""
        about = self.related_object or (self.data.object if self.data else Object())
        if self.account is None:
            return about.id
        return self.account if self.type.startswith(OF_ACCOUNTS) else None


@method_decorator(csrf_exempt, name="dispatch")
class StripeWebhook(View):
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        body = request.read(MOST_BODY_BYTES + 1)
        if not client.is_on() or len(body) > MOST_BODY_BYTES:
            return HttpResponse(status=404 if not client.is_on() else 413)
        if not client.is_genuine(body, request.headers.get("Stripe-Signature", ""), time.time()):
            return HttpResponse(status=400)
        try:
            told = msgspec.json.decode(body, type=Told)
        except msgspec.MsgspecError:
            return HttpResponse(status=400)
        if told.data is None and told.related_object is None:
            return HttpResponse(status=400)
        if (object_id := told.about()) is None:
            return HttpResponse(status=200)
        try:
            is_new = note(told.id, told.type, object_id)
        except DatabaseError:
            return HttpResponse(status=503)
        if is_new:
            tasks.hand_over(told.id)
        return HttpResponse(status=200)
