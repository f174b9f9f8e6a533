"""One connection to Redis for the hottest path: a command goes out, its answer comes in, one after the other.

A general client spends more on each call than a whole request may cost here. This one speaks as much of RESP2 as a
script needs that answers with one string; everything else in the house uses redis-py.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url

CONNECT_S = 2.0


class RedisRefused(Exception):
    """Redis answered with an error; its text begins with the error's code."""


Hear = Callable[[bytes | Exception], None]


class RedisLine(asyncio.Protocol):
    """Made by `open_line`. One command at a time. Once it is not open any more it is of no more use."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._hear: Hear | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, command: bytes, hear: Hear) -> None:
        """`hear` is called once, with what `ask` would give or raise.

        Raises:
            ConnectionError: the line is closed; nothing was sent.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the line is closed")
        self._hear = hear
        self._transport.write(command)

    async def ask(self, *words: bytes) -> bytes:
        """The answer to one command: a string (empty for none), a status, or the digits of a number.

        Raises:
            RedisRefused: what Redis said against it.
            ConnectionError: there is nobody at the other end any more.
        """
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def hear(found: bytes | Exception) -> None:
            if answer.done():
                return
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        self.send(command_of(*words), hear)
        try:
            return await answer
        except asyncio.CancelledError:
            self.close()  # the late answer would be taken for that of the next command
            raise

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._told(ConnectionError("the line was closed"))

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        head, found, rest = self._received.partition(b"\r\n")
        if not found or self._hear is None:
            return
        kind, said = head[:1], head[1:]
        if kind == b"$":
            length = max(int(said), 0)  # -1 is nothing at all
            if len(rest) < length + 2 and said != b"-1":
                return
            said = rest[:length]
        self._received = b""
        self._told(RedisRefused(said.decode(errors="replace")) if kind == b"-" else said)

    def connection_lost(self, error: Exception | None) -> None:
        self._told(ConnectionError("Redis went away"))

    def _told(self, found: bytes | Exception) -> None:
        hear, self._hear = self._hear, None
        if hear is not None:
            hear(found)


def command_of(*words: bytes) -> bytes:
    return b"".join((b"*%d\r\n" % len(words), *map(word_of, words)))


def word_of(word: bytes) -> bytes:
    """As it is written within a command."""
    return b"$%d\r\n%b\r\n" % (len(word), word)


async def open_line(url: str) -> RedisLine:
    """Connects, signs in and chooses the database, all by a URL as redis-py reads it.

    Raises:
        OSError, TimeoutError: it cannot be reached.
        RedisRefused: it does not let us in.
    """
    options: dict[str, Any] = dict(parse_url(url))
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_S):
        if path := options.get("path"):
            _, line = await loop.create_unix_connection(RedisLine, path)
        else:
            host, port = options.get("host", "localhost"), options.get("port", 6379)
            _, line = await loop.create_connection(RedisLine, host, port, ssl=_tls(options))
        try:
            await _greet(line, options)
        except BaseException:
            line.close()
            raise
    return line


async def _greet(line: RedisLine, options: dict[str, Any]) -> None:
    if password := options.get("password"):
        names = [options["username"].encode()] if options.get("username") else []
        await line.ask(b"AUTH", *names, password.encode())
    if number := options.get("db"):
        await line.ask(b"SELECT", b"%d" % int(number))


def _tls(options: dict[str, Any]) -> ssl.SSLContext | None:
    if options.get("connection_class") is not SSLConnection:
        return None
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
