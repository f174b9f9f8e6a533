"""The ASGI application: `/v1` and `/health` to the lean handler, machines to their door, the rest to Django."""

from __future__ import annotations

import gc
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402
from django.core.checks import run_checks  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402

from common.asgi import Receive, Scope, Send  # noqa: E402
from console.addresses import LEAN_PATHS, OF_DJANGO  # noqa: E402
from console.bodies import BoundedBodies  # noqa: E402
from console.checks import TAG  # noqa: E402
from console.database_pool import close_shared_connections, share_connections  # noqa: E402
from nodes.consumers import PATH as CONNECT_PATH  # noqa: E402
from nodes.consumers import Door  # noqa: E402
from routing.asgi import MAX_BODY_BYTES, LeanHandler  # noqa: E402
from routing.wiring import start_plane, stop_plane  # noqa: E402

GC_YOUNG_OBJECTS = 50_000


class Application:
    """Makes the data plane at the lifespan's start and drains it at its end."""

    def __init__(self) -> None:
        self._console = BoundedBodies(ASGIHandler(), MAX_BODY_BYTES, settings.CLIENT_BODY_S)
        self._gateway: LeanHandler | None = None
        self._door: Door | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            path = scope["path"]
            if self._gateway is not None and path.startswith(LEAN_PATHS) and path not in OF_DJANGO:
                await self._gateway(scope, receive, send)
            else:
                await self._console(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        elif self._door is not None and scope["path"] == CONNECT_PATH:
            await self._door(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close"})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if refusal := _insecurity():
                    await send({"type": "lifespan.startup.failed", "message": refusal})
                    return
                share_connections()
                plane = await start_plane()
                self._gateway = LeanHandler(
                    settings.GATEWAY_URLCONF,
                    plane.flights,
                    body_deadline_s=settings.CLIENT_BODY_S,
                    trusted_proxies=settings.ALLAUTH_TRUSTED_PROXY_COUNT,
                )
                self._door = plane.nodes.door
                _settle_garbage_collector()
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._gateway is not None:
                    self._gateway.draining = True
                await stop_plane()
                close_shared_connections()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _insecurity() -> str:
    """Why this server must not start, one line per reason; "" when it may."""
    return "\n".join(
        str(message) for message in run_checks(tags=[TAG], include_deployment_checks=True) if message.is_serious()
    )


def _settle_garbage_collector() -> None:
    """What was imported lives for ever and need not be looked at; what a request makes is freed by counting, mostly.

    The few cycles that were in flight during a collection wait for a full one, so that must not be rare: memory grew
    by 7.6 MB over 200,000 requests with one in fifty, by 1.3 MB with one in two. What is not frozen is little.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_OBJECTS, 10, 2)


application = Application()
