"""Requests of one web process share a bounded number of connections to PostgreSQL.

Under ASGI each request runs in a thread of its own, so without a pool a hundred requests at once take a hundred
connections, and PostgreSQL refuses the next. Only a server opens the pool, at its start: commands and Celery's
workers, which have few threads and may fork, connect by themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.http import HttpRequest, HttpResponseBase

from accounts.database import give_back_connection


def share_connections() -> None:
    """From here on this process opens at most `DATABASE_POOL_SIZE` connections for its requests.

    A request waits `DATABASE_POOL_WAIT_S` for its turn, then fails with an OperationalError. Each connection is tried
    before it is given out, so those that a restarted PostgreSQL left dead are replaced unseen.
    """
    wait_s = settings.DATABASE_POOL["wait_s"]
    connections.settings[DEFAULT_DB_ALIAS]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": settings.DATABASE_POOL["size"],
        "timeout": wait_s,
        # Pauses between attempts double: given up early, they start anew with the next request.
        "reconnect_timeout": wait_s,
    }


def close_shared_connections() -> None:
    database = connections[DEFAULT_DB_ALIAS]
    assert isinstance(database, DatabaseWrapper)
    database.close_pool()


def give_back(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Outermost middleware: the connection is free once the answer is made, however slowly it is then read.

    Django itself gives it back when the answer is sent, which a slow reader or a stream of events can make last.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        try:
            return get_response(request)
        finally:
            give_back_connection()

    return middleware
