"""`/health/live`: the process answers. `/health/ready`: it can serve, or says what is missing."""

from __future__ import annotations

from routing.asgi import GatewayRequest
from routing.rendering import json_reply
from routing.replies import Reply
from routing.wiring import find_plane


async def live(request: GatewayRequest) -> Reply:
    return json_reply(200, {"status": "live"}, request.request_id)


async def ready(request: GatewayRequest) -> Reply:
    plane = find_plane()
    missing = ["data plane"] if plane is None else await plane.missing()
    if missing:
        return json_reply(503, {"status": "not ready", "missing": missing}, request.request_id)
    return json_reply(200, {"status": "ready"}, request.request_id)
