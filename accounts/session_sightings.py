"""When each session was last seen, noted once a minute: with every page it would cost three statements."""

from __future__ import annotations

import time
from collections.abc import Callable

from allauth.account.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.http import HttpRequest
from django.http.response import HttpResponseBase

NOTED_EVERY_S = 60
MOST_KNOWN = 10_000


class SessionSightings:
    """Stands where allauth's middleware would. Another address or program is noted at once."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._noted_s: dict[tuple[str, str | None, str], float] = {}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.session.session_key and request.user.is_authenticated and self._is_due(request):
            UserSession.objects.create_from_request(request)
        return self._get_response(request)

    def _is_due(self, request: HttpRequest) -> bool:
        client = get_adapter().get_client_ip(request), request.META.get("HTTP_USER_AGENT", "")
        seen, now_s = (str(request.session.session_key), *client), time.monotonic()
        if now_s - self._noted_s.get(seen, -NOTED_EVERY_S) < NOTED_EVERY_S:
            return False
        if len(self._noted_s) >= MOST_KNOWN:
            self._noted_s.clear()
        self._noted_s[seen] = now_s
        return True
