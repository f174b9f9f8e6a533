"""Callers that ask for a stream and then do not read it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil

from tests.stack import GatewayProcess

RECEIVE_BUFFER_BYTES = 4096


@contextmanager
def unread_streams(gateway: GatewayProcess, api_key: str, model: str, count: int = 1) -> Iterator[None]:
    """So many connections whose answers nobody reads, while the context is open."""
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {api_key}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    with ExitStack() as stack:
        for _ in range(count):
            line = stack.enter_context(socket.socket())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            line.connect(("127.0.0.1", gateway.port))
            line.sendall(head + body)
        yield


def resident_mib(gateway: GatewayProcess) -> float:
    """Memory of the processes that serve."""
    return sum(psutil.Process(pid).memory_info().rss for pid in gateway.worker_pids) / (1 << 20)
