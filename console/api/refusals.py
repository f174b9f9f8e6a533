"""Every way in which a request can go wrong, as one of the coded errors, in the one shape of the API.

Besides the errors of the rooms below there are

    PermissionRefused 403
    ├── CsrfFailed                  a write by a session without its CSRF token
    ├── ReauthenticationNeeded      a session that proved its user too long ago for this
    └── NoOrganization              a session whose user belongs to no organisation
    InvalidRequest 400
    └── MethodNotAllowed 405
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from allauth.core.exceptions import ReauthenticationRequired
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.defaults import page_not_found
from django.views.defaults import server_error as server_error_page
from rest_framework import exceptions as drf
from rest_framework.response import Response

from accounts.errors import InvalidField
from common.errors import (
    CodedError,
    InternalError,
    InvalidApiKey,
    InvalidRequest,
    MissingApiKey,
    NotFound,
    PayloadTooLarge,
    PermissionRefused,
    ShareAIError,
    TemporarilyUnavailable,
    UnsupportedMediaType,
)
from common.ids import new_request_id

logger = logging.getLogger(__name__)

PREFIX = "/api/"
KEY_HEADERS = ("authorization", "x-api-key", "api-key")
DATABASE_AWAY = (OperationalError, InterfaceError)
_DATABASE_RETRY_S = 2


class CsrfFailed(PermissionRefused):
    CODE = "csrf_failed"
    MESSAGE = "A session's write needs the CSRF token in the X-CSRFToken header."


class ReauthenticationNeeded(PermissionRefused):
    CODE = "reauthentication_required"
    MESSAGE = "Sign in again before this; the last time is too long ago."


class NoOrganization(PermissionRefused):
    CODE = "no_organization"
    MESSAGE = "You belong to no organisation yet."


class MethodNotAllowed(InvalidRequest):
    CODE, STATUS = "method_not_allowed", 405
    MESSAGE = "This address does not know this method."


def translated(error: Exception) -> ShareAIError:
    """The refusal that stands for any exception; for one that nobody foresaw, InternalError."""
    if isinstance(error, ShareAIError):
        return error
    if isinstance(error, drf.ValidationError):
        return InvalidField(flattened(error.detail))
    for kinds, refusal in _TRANSLATIONS:
        if isinstance(error, kinds):
            return refusal()
    if isinstance(error, DATABASE_AWAY):
        return TemporarilyUnavailable(retry_after_s=_DATABASE_RETRY_S)
    return InternalError()


_TRANSLATIONS: tuple[tuple[Any, type[CodedError]], ...] = (
    ((Http404, ObjectDoesNotExist, drf.NotFound), NotFound),
    (drf.MethodNotAllowed, MethodNotAllowed),
    (drf.UnsupportedMediaType, UnsupportedMediaType),
    (ReauthenticationRequired, ReauthenticationNeeded),
    (drf.AuthenticationFailed, InvalidApiKey),
    (drf.NotAuthenticated, MissingApiKey),
    ((PermissionDenied, drf.PermissionDenied), PermissionRefused),
    (RequestDataTooBig, PayloadTooLarge),
    ((SuspiciousOperation, drf.ParseError), InvalidRequest),
)


def flattened(detail: Any, at: str = "") -> dict[str, list[str]]:
    """DRF's nested messages by one dotted name each: `models.0.input_price`."""
    if isinstance(detail, Mapping):
        named = [(str(name), inner) for name, inner in detail.items()]
    elif isinstance(detail, list) and any(isinstance(inner, Mapping | list) for inner in detail):
        named = [(str(index), inner) for index, inner in enumerate(detail)]
    else:
        texts = detail if isinstance(detail, list) else [detail]
        return {at or "body": [str(text) for text in texts]} if texts else {}
    found: dict[str, list[str]] = {}
    for name, inner in named:
        found |= flattened(inner, at if name == "non_field_errors" else f"{at}.{name}".lstrip("."))
    return found


def response_of(error: Exception, request: HttpRequest) -> Response:
    refusal = translated(error)
    if isinstance(refusal, InternalError):
        logger.error("%s %s failed", request.method, request.path, exc_info=error)
        got_request_exception.send(sender=None, request=request)
    response = Response(refusal.body(), refusal.status)
    for name, value in refusal.headers():
        response[name.decode()] = value.decode()
    if refusal.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`: for every page, and for what fails before a view of the API is reached."""
    error = sys.exc_info()[1]
    refusal = translated(error) if isinstance(error, Exception) else InternalError()
    answer = _refused_page(request, refusal)
    for name, value in refusal.headers():
        answer[name.decode()] = value.decode()
    answer["x-request-id"], answer["Cache-Control"] = new_request_id(), "no-store"
    return answer


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler404`. An SDK whose base URL is not quite right reads JSON, and how to put it right."""
    if not any(name in request.headers for name in KEY_HEADERS):
        return page_not_found(request, exception)
    refusal = NotFound(
        f"There is nothing at {request.path[:200]}. An SDK's base URL here is {settings.PUBLIC_URL}/v1."
    )
    return JsonResponse(refusal.body(), status=refusal.status, headers={"x-request-id": new_request_id()})


def _refused_page(request: HttpRequest, refusal: ShareAIError) -> HttpResponse:
    if request.path.startswith(PREFIX):
        return JsonResponse(refusal.body(), status=refusal.status)
    if not isinstance(refusal, TemporarilyUnavailable):
        return server_error_page(request)
    page = server_error_page(request, "503.html")
    page.status_code = refusal.status
    return page
