"""Blocking work of this room, asked for from the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import close_old_connections
from django.db import connection as database

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """No request ends in such a thread, which is when Django lets go of a dead connection otherwise."""

    def run() -> R:
        _let_go_of_dead_connections()
        try:
            return function(*args, **kwargs)
        finally:
            _let_go_of_dead_connections()

    return await asyncio.to_thread(run)


def _let_go_of_dead_connections() -> None:
    if not database.in_atomic_block:
        close_old_connections()
