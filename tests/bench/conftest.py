import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bench import answers, load, upstream

Serve = Callable[[bytes], Awaitable[int]]


@pytest.fixture
async def upstream_port() -> AsyncIterator[int]:
    server, port = await upstream.listen()
    yield port
    server.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server that answers each request with the given bytes and closes; returns its port."""
    servers: list[asyncio.Server] = []

    async def start(answer: bytes) -> int:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"}]}")
            except asyncio.IncompleteReadError:
                pass  # a connection that was opened and not needed
            # Only the first \r\n ends the status line.
            writer.write(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            writer.close()

        servers.append(await asyncio.start_server(handle, "127.0.0.1", 0))
        return servers[-1].sockets[0].getsockname()[1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def aim_at() -> Callable[..., load.Aim]:
    def make(port: int, word: str = "", streamed: bool = False) -> load.Aim:
        body = {"model": "bench", "stream": streamed, "messages": [{"role": "user", "content": word}]}
        request = load.post("127.0.0.1", port, "/v1/chat/completions", body, {})
        return load.Aim("127.0.0.1", port, request, answers.stream_fault if streamed else answers.unary_fault)

    return make
