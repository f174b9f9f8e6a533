"""Django's cache in Redis, and while Redis is away in this process's memory.

allauth counts attempts to sign in there. Without Redis people still sign in, and each process bounds by itself what
it lets through: never unlimited, at most as many times the limit as there are processes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

AGAIN_AFTER_S = 2.0
MOST_LOCAL_ENTRIES = 50_000
"""More than an attacker fills within the minutes that counters live, since what is culled is forgotten."""

_ONE_QUICK_TRY = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "retry": Retry(NoBackoff(), 0)}

logger = logging.getLogger(__name__)


class _Outage:
    """Of this process: Django makes a cache object for each thread, and each request has one of its own."""

    def __init__(self) -> None:
        self._until_s = 0.0
        self._noticed = False

    def lasts(self) -> bool:
        return time.monotonic() < self._until_s

    def begin(self, error: RedisError) -> None:
        self._until_s = time.monotonic() + AGAIN_AFTER_S
        if not self._noticed:
            logger.warning("the cache is away, this process counts for itself: %s", error)
        self._noticed = True

    def end(self) -> None:
        if self._noticed:
            logger.warning("the cache is back")
        self._noticed = False


_outage = _Outage()


def _either(name: str) -> Callable[..., Any]:
    def operation(self: RedisOrLocalCache, *args: Any, **kwargs: Any) -> Any:
        if not _outage.lasts():
            try:
                answer = getattr(self._redis, name)(*args, **kwargs)
            except RedisError as error:
                _outage.begin(error)
            else:
                _outage.end()
                return answer
        return getattr(self._local, name)(*args, **kwargs)

    return operation


class RedisOrLocalCache(BaseCache):
    """Fails over to memory, not open: an entry that only Redis had counts as absent until Redis is back."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._redis = RedisCache(server, params | {"OPTIONS": _ONE_QUICK_TRY | params.get("OPTIONS", {})})
        self._local = LocMemCache("while Redis is away", params | {"OPTIONS": {"MAX_ENTRIES": MOST_LOCAL_ENTRIES}})

    add = _either("add")
    get = _either("get")
    set = _either("set")
    touch = _either("touch")
    delete = _either("delete")
    get_many = _either("get_many")
    set_many = _either("set_many")
    delete_many = _either("delete_many")
    has_key = _either("has_key")
    incr = _either("incr")
    clear = _either("clear")
