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
from billing.events import note

MOST_BODY_BYTES = 512 * 1024


class Object(msgspec.Struct):
    id: str = ""


class Data(msgspec.Struct):
    object: Object


class Told(msgspec.Struct):
    id: str
    type: str
    data: Data
    account: str | None = None


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
        if told.account is not None:
            return HttpResponse(status=200)  # of an account connected to ours, which buys nothing here
        try:
            is_new = note(told.id, told.type, told.data.object.id)
        except DatabaseError:
            return HttpResponse(status=503)
        if is_new:
            tasks.hand_over(told.id)
        return HttpResponse(status=200)
