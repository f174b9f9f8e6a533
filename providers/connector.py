"""aiohttp's connector with one gap closed: a connection with anything left on it carries no further request.

What an upstream sends beyond its answer would be read as the answer to the next request on that connection, which
may be another organisation's. aiohttp looks for a surplus when a connection comes back to the pool, not when it
goes out again.
"""

from __future__ import annotations

import select
from typing import Any

import aiohttp
from aiohttp.connector import Connection


class StrictConnector(aiohttp.TCPConnector):
    async def _get(self, key: Any, traces: Any) -> Connection | None:
        while True:
            connection = await super()._get(key, traces)
            if connection is None or _is_clean(connection):
                return connection
            connection.close()


def _is_clean(connection: Connection) -> bool:
    """Nothing was received since the last answer, and nothing waits in the kernel, an end included."""
    protocol = connection.protocol
    if protocol is None or protocol.transport is None or protocol.should_close:
        return False
    waiting = select.poll()
    waiting.register(protocol.transport.get_extra_info("socket"), select.POLLIN)
    return not waiting.poll(0)
