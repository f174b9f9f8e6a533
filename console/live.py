"""One stream of server-sent events per page. It tells which topic changed; the page's fragments fetch themselves.

The stream reads PostgreSQL (and Redis, for machines) once a tick, whatever the number of topics, and ends by itself
so that a browser left open cannot hold a connection for ever: EventSource comes back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.db.models import Count, Exists, Max, Q, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.current import memberships_of
from accounts.database import giving_back
from accounts.models import ApiKey, Organization, User
from console.visit import find_visit
from metering.models import Usage
from nodes.models import EnrolmentToken, Node, NodeModel
from nodes.sightings import presences_of, vitals_of
from providers.models import ConnectionKey, HealthChange

TICK_S = 1.5
LONGEST_S = 600
_KEEP_ALIVE_EVERY = 10
_RECENT = timedelta(minutes=15)
MOST_OF_ONE = 50
"""Streams that one person has open in one process: more windows than anybody looks at."""

_open: Counter[int] = Counter()

Mark = Any
"""What a topic looked like; another value means that it changed."""


def _usage(organization: Organization) -> Mark:
    recent = Usage.objects.of(organization).filter(started_at__gte=timezone.now() - _RECENT)
    return recent.aggregate(last=Max("ingested_at"), count=Count("request_id"))


def _configuration(organization: Organization) -> Mark:
    return Organization.objects.filter(pk=organization.pk).values_list("version", flat=True).first()


def _keys(organization: Organization) -> Mark:
    return ApiKey.objects.of(organization).aggregate(last=Max("last_used_at"), count=Count("pk"))


def _nodes(organization: Organization) -> Mark:
    """Who came, went, or takes work or not; how far the new ones have come. Not how busy each is."""
    columns = ("public_id", "paused", "updated_at", "first_seen_at", "version", "local_server")
    rows = list(Node.objects.of(organization).filter(removed_at=None).values_list(*columns))
    models = NodeModel.objects.of(organization).aggregate(Max("updated_at"), Max("trial_at"), Count("pk"))
    tokens = EnrolmentToken.objects.of(organization).aggregate(Sum("used"), Count("pk"), Max("revoked_at"))
    paused = {row[0] for row in rows if row[1]}
    seen = {
        node: (presence.generation, presence.accepting, presence.reason, node in paused and presence.in_flight > 0)
        for node, presence in presences_of([row[0] for row in rows]).items()
    }
    return rows, models, tokens, seen


def _load(organization: Organization) -> Mark:
    """How busy the machines are."""
    ids = list(Node.objects.of(organization).filter(removed_at=None).values_list("public_id", flat=True))
    return presences_of(ids), vitals_of(ids)


def _health(organization: Organization) -> Mark:
    """What is in use and what is not: targets, providers, their keys; of the platform's providers too."""
    mine = Q(org=organization) | Q(org=None)
    changed = HealthChange.objects.filter(mine).aggregate(Max("pk"))
    keys = ConnectionKey.objects.filter(mine).aggregate(Max("state_changed_at"), Count("pk"))
    return changed, keys


TOPICS: dict[str, Callable[[Organization], Mark]] = {
    "usage": _usage,
    "configuration": _configuration,
    "keys": _keys,
    "nodes": _nodes,
    "load": _load,
    "health": _health,
}


@require_GET
async def stream(request: HttpRequest) -> HttpResponseBase:
    """`?topics=usage,keys`. 204 tells EventSource to stay away: nobody signed in, no such topic, enough streams."""
    visit = await sync_to_async(find_visit)(request)
    asked = request.GET.get("topics", "").split(",")
    topics = [name for name in TOPICS if name in asked]
    if visit is None or not topics or not _has_room(visit.user):
        return HttpResponse(status=204)
    session = request.session.session_key or ""
    response = StreamingHttpResponse(
        _events(visit.user, visit.organization, topics, session), content_type="text/event-stream"
    )
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response


def _has_room(user: User) -> bool:
    """Each stream asks PostgreSQL once a tick, for as long as it is open."""
    return _open[user.pk] < MOST_OF_ONE


async def _events(user: User, organization: Organization, topics: list[str], session: str) -> AsyncIterator[bytes]:
    _open[user.pk] += 1
    try:
        async for event in _told(user, organization, topics, session):
            yield event
    finally:
        _open[user.pk] -= 1
        if not _open[user.pk]:
            del _open[user.pk]


async def _told(user: User, organization: Organization, topics: list[str], session: str) -> AsyncIterator[bytes]:
    marks = await _read(user, organization, topics, session)
    yield b"retry: 3000\n: here\n\n"
    for tick in range(int(LONGEST_S / TICK_S)):
        if marks is None:
            return
        await asyncio.sleep(TICK_S)
        now = await _read(user, organization, topics, session)
        for topic in topics:
            if now is not None and now[topic] != marks[topic]:
                yield f"event: {topic}\ndata: changed\n\n".encode()
        if tick % _KEEP_ALIVE_EVERY == 0:
            yield b": still here\n\n"
        marks = now


async def _read(user: User, organization: Organization, topics: list[str], session: str) -> dict[str, Mark] | None:
    """Not tied to the request's own thread, which lives as long as the stream."""
    return await sync_to_async(_marks, thread_sensitive=False)(user, organization, topics, session)


@giving_back
def _marks(user: User, organization: Organization, topics: list[str], session: str) -> dict[str, Mark] | None:
    """None once the person is no member any more, or the session is over: ended, expired, or of an old password."""
    signed_in = Session.objects.filter(session_key=session, expire_date__gt=timezone.now())
    known = memberships_of(user).filter(Exists(signed_in), user__is_active=True, user__password=user.password)
    if not known.filter(org=organization).exists():
        return None
    return {topic: TOPICS[topic](organization) for topic in topics}
