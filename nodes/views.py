"""The room's own HTTP: `POST /nodes/v1/enroll`, asked by agents. No session, no cookie, no CSRF token."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import override
from django.views.decorators.csrf import csrf_exempt

from accounts.current import address_of
from common.errors import (
    InvalidRequest,
    PayloadTooLarge,
    ShareAIError,
    TemporarilyUnavailable,
)
from common.ids import new_request_id
from common.jsongate import loads
from nodes import attempts
from nodes.enrolment import Application, Enrolled, enrol
from nodes.errors import ClockSkew, ProofInvalid, TokenExpired, TokenUnknown, TokenUsed
from nodes.proofs import origin_of

MOST_BODY_BYTES = 16 * 1024
COUNTED = (TokenUnknown, TokenUsed, TokenExpired, ProofInvalid, ClockSkew)
"""Refusals after which an address has a try less."""

logger = logging.getLogger(__name__)


@csrf_exempt
def enroll(request: HttpRequest) -> HttpResponse:
    try:
        with override("en"):  # an agent's log is read by whoever helps
            answer = _enrolled(request)
    except ShareAIError as refusal:
        answer = _refused(refusal)
    except (OperationalError, InterfaceError):
        logger.exception("an enrolment met no database")
        answer = _refused(TemporarilyUnavailable(retry_after_s=2))
    answer["x-request-id"], answer["Cache-Control"] = new_request_id(), "no-store"
    return answer


def _enrolled(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        answer = _refused(InvalidRequest("Send this as POST."))
        answer.status_code, answer["Allow"] = 405, "POST"
        return answer
    address = address_of(request)
    attempts.refuse_many(address)
    try:
        enrolled = enrol(_application_in(request), _origins_of(request), address or None)
    except COUNTED:
        attempts.note_failure(address)
        raise
    return JsonResponse(_told(enrolled), status=201 if enrolled.is_new else 200)


def _application_in(request: HttpRequest) -> Application:
    body = request.read(MOST_BODY_BYTES + 1)
    if len(body) > MOST_BODY_BYTES:
        raise PayloadTooLarge
    try:
        return msgspec.convert(loads(body), Application)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error)) from None


def _origins_of(request: HttpRequest) -> frozenset[str]:
    """This console's public address, and the one asked for now, which Django has held against ALLOWED_HOSTS."""
    public = origin_of(settings.PUBLIC_URL)
    host, scheme = request.get_host(), public.partition(":")[0]
    try:
        return frozenset({public, origin_of(f"{request.scheme}://{host}"), origin_of(f"{scheme}://{host}")})
    except ValueError:
        raise InvalidRequest("The port in the console's address is none.") from None


def _told(enrolled: Enrolled) -> dict[str, Any]:
    node = enrolled.node
    scheme, _, host = enrolled.origin.partition("://")
    return {
        "node": node.public_id,
        "slug": node.slug,
        "name": node.name,
        "organization": node.org.name,
        "connect_url": f"{'wss' if scheme == 'https' else 'ws'}://{host}/nodes/v1/connect",
        "console_time": timezone.now().isoformat(),
    }


def _refused(refusal: ShareAIError) -> JsonResponse:
    answer = JsonResponse(refusal.body(), status=refusal.status)
    for name, value in refusal.headers():
        answer[name.decode()] = value.decode()
    return answer
