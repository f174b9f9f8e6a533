"""How often one address may fail to enrol. Successes are not counted: a fleet comes from behind one NAT.

A token has 192 bits, so this keeps no secret; it keeps a broken script from keeping the database busy. Fails open
when Redis is away.
"""

from __future__ import annotations

import logging
import time

from django.core.cache import cache
from redis.exceptions import RedisError

from nodes.errors import TooManyEnrolments

MOST_FAILURES = 30
WINDOW_S = 60

logger = logging.getLogger(__name__)


def refuse_many(address: str) -> None:
    """Raises: TooManyEnrolments."""
    try:
        failures = cache.get(_key(address), 0)
    except RedisError:
        logger.warning("enrolments are not counted: Redis is away")
        return
    if failures >= MOST_FAILURES:
        raise TooManyEnrolments(scope="address", retry_after_s=WINDOW_S - time.time() % WINDOW_S)


def note_failure(address: str) -> None:
    key = _key(address)
    try:
        cache.add(key, 0, WINDOW_S)
        cache.incr(key)
    except (RedisError, ValueError):  # a ValueError: the window ended in between
        logger.warning("a failed enrolment was not counted")


def _key(address: str) -> str:
    return f"nodes:enrolment:{address}:{int(time.time()) // WINDOW_S}"
