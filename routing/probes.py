"""`/health/live`: the process answers. `/health/ready`: it can serve, or what it lacks. `/metrics`: how it does."""

from __future__ import annotations

import asyncio
from hmac import compare_digest

from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST

from accounts.authentication import credential
from common.errors import InvalidApiKey, NotFound
from routing.asgi import GatewayRequest
from routing.monitoring import exposition
from routing.rendering import json_reply
from routing.replies import Reply
from routing.wiring import find_plane, plane


async def live(request: GatewayRequest) -> Reply:
    return json_reply(200, {"status": "live"}, request.request_id)


async def ready(request: GatewayRequest) -> Reply:
    plane = find_plane()
    missing = ["data plane"] if plane is None else await plane.missing()
    if missing:
        return json_reply(503, {"status": "not ready", "missing": missing}, request.request_id)
    return json_reply(200, {"status": "ready"}, request.request_id)


async def metrics(request: GatewayRequest) -> Reply:
    """What monitoring reads. Where the operator has given no token for it there is nothing here.

    Raises:
        NotFound, MissingApiKey, InvalidApiKey: 404, 401.
    """
    if not settings.METRICS_TOKEN:
        raise NotFound("There is no /metrics here: its operator has set no METRICS_TOKEN.")
    if not compare_digest(credential(request.header).encode(), settings.METRICS_TOKEN.encode()):
        raise InvalidApiKey("This is not the token of /metrics.")
    told = await asyncio.to_thread(exposition, plane().tallies)
    return Reply(200, [(b"content-type", CONTENT_TYPE_LATEST.encode())], told)
