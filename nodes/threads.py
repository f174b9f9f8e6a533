"""Blocking work of this room, asked for from the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from accounts.database import giving_back

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """With the thread's connection to PostgreSQL given back at the end."""
    return await asyncio.to_thread(giving_back(function), *args, **kwargs)
