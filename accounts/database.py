"""When a thread is done with PostgreSQL before Django would notice: its connection is for others to use."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connection

P = ParamSpec("P")
R = TypeVar("R")


def give_back_connection() -> None:
    """To the pool, before something slow that needs none. Does nothing without a pool, or inside a transaction."""
    if connection.settings_dict["OPTIONS"].get("pool") and not connection.in_atomic_block:
        close_old_connections()


def giving_back(function: Callable[P, R]) -> Callable[P, R]:
    """For work in a thread where no request ends: gives the thread's connection back as soon as it is done."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        finally:
            if not connection.in_atomic_block:
                close_old_connections()

    return wrapped
