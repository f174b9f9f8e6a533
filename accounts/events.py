"""Tells the data plane that an organisation's configuration changed.

`bump` grows the organisation's version in the transaction of the change and publishes it after commit. A
subscriber that misses the message finds the new version by polling, so publishing may fail silently.
"""

from __future__ import annotations

import logging
from functools import cache

import redis
from django.conf import settings
from django.db import transaction
from django.db.models import F
from redis.backoff import NoBackoff
from redis.retry import Retry

from accounts.channel import CHANNEL as CHANNEL
from accounts.channel import PLATFORM as PLATFORM
from accounts.models import Organization

logger = logging.getLogger(__name__)


@cache
def client() -> redis.Redis:
    """Redis for threads in which somebody waits for a page or a change: one try of half a second."""
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, retry=once)


def bump(organization: Organization) -> None:
    """Must run inside the transaction of the change; locks the organisation's row until it ends."""
    Organization.objects.filter(pk=organization.pk).update(version=F("version") + 1)
    transaction.on_commit(lambda: publish(organization.pk))


def publish(org_id: int) -> None:
    """Fails open: the poll of the data plane finds what was not published."""
    announce(CHANNEL, str(org_id))


def announce(channel: str, message: str) -> None:
    """Says something to all processes. Fails open: whoever must not miss it reads the truth at times."""
    try:
        client().publish(channel, message)
    except redis.RedisError:
        logger.warning("could not publish %s on %s", message, channel)
