"""One connection of the fault server: HTTP in by h11, bytes out as the script says."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Iterator

import h11

from demo.faults import Close, Hang, Pause, Reset, Send, Step
from tests.fakes.wirelog import End, Exchange

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class ClientLeft(Exception):
    """The client closed or broke the connection; a client that only ends its side has left too."""


class Connection:
    """Reads requests one after another, and notices at any time that the client has left."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self._reader = reader
        self._writer = writer
        self._unread = b""
        self._changed = asyncio.Event()
        self._left = asyncio.Event()
        self._left_at: float | None = None
        self._pump = asyncio.create_task(self._read())

    async def receive(self, exchange_number: int) -> Exchange | None:
        """Read one request.

        Returns:
            None when the client has left, or sends what is not HTTP.
        """
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        try:
            return await self._parsed(parser, exchange_number)
        except (ClientLeft, h11.RemoteProtocolError):
            return None

    async def play(self, script: Iterator[Step], exchange: Exchange) -> End:
        """Send what the script says, and write into the exchange what was sent."""
        try:
            for step in script:
                match step:
                    case Send():
                        await self._send(step, exchange)
                    case Pause(seconds=seconds):
                        await self._rest(seconds)
                    case Hang():
                        exchange.hanging = True
                        await self._rest(None)
                    case Close():
                        return End.CLOSED
                    case Reset():
                        self.reset()
                        return End.RESET
        except ClientLeft:
            exchange.client_left_at = self._left_at
            return End.CLIENT_LEFT
        return End.COMPLETED

    def reset(self) -> None:
        """Break the connection: the client sees RST, not an end."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._writer.transport.abort()

    async def close(self) -> None:
        self._pump.cancel()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _parsed(self, parser: h11.Connection, number: int) -> Exchange:
        request, body = None, bytearray()
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(await self._more())
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                self._unread = parser.trailing_data[0] + self._unread
                return self._exchange(number, request, bytes(body))
            else:
                raise ClientLeft

    def _exchange(self, number: int, request: h11.Request, body: bytes) -> Exchange:
        headers: dict[str, str] = {}
        for raw_name, raw_value in request.headers:
            name, value = raw_name.decode().lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        path = request.target.decode().partition("?")[0]
        key = headers.get("authorization", "").removeprefix("Bearer ")
        return Exchange(number, self.number, request.method.decode(), path, headers, body, key=key)

    async def _more(self) -> bytes:
        while not self._unread:
            if self._left.is_set():
                raise ClientLeft
            self._changed.clear()
            await self._changed.wait()
        data, self._unread = self._unread, b""
        return data

    async def _send(self, step: Send, exchange: Exchange) -> None:
        if self._left.is_set():
            raise ClientLeft
        self._writer.write(step.data)
        exchange.first_sent_at = exchange.first_sent_at or time.time()
        exchange.status = step.status or exchange.status
        exchange.usage = step.usage or exchange.usage
        exchange.sent_bytes += len(step.data)
        exchange.sent_tokens += step.tokens
        try:
            await self._writer.drain()
        except ConnectionError as error:
            await self._left.wait()
            raise ClientLeft from error
        await asyncio.sleep(0)  # lets the reader's task see that the client left

    async def _rest(self, seconds: float | None) -> None:
        """Wait, for ever if it is None; the client's leaving ends it."""
        try:
            async with asyncio.timeout(seconds):
                await self._left.wait()
        except TimeoutError:
            return
        raise ClientLeft

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(1 << 16):
                self._unread += data
                self._changed.set()
        self._left_at = time.time()
        self._left.set()
        self._changed.set()
