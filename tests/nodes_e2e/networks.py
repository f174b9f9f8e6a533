"""A home behind a router: a network namespace whose only way out is one that translates addresses.

    home (namespace) ── veth ── router: accepts from the home alone, and dials the console in its own name

Nothing leads from outside into the home. The router is this process: not every machine that may make namespaces has
a packet filter to translate with.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

OUTSIDE, INSIDE = "198.51.100.1", "198.51.100.2"
_PREFIX_BITS = 30


@dataclass(frozen=True)
class Household:
    """
    Args:
        prefix: words before a command that lives in the home.
        port: of the console, which is the same on the router: machines know the console by it.
    """

    name: str
    prefix: tuple[str, ...]
    port: int

    @property
    def console(self) -> str:
        return f"http://{OUTSIDE}:{self.port}"

    def unplug(self) -> None:
        """Both ends keep their connections, and hear nothing more: half-open."""
        _ip("link", "set", f"{self.name}-o", "down")

    def plug_in(self) -> None:
        _ip("link", "set", f"{self.name}-o", "up")


def why_not() -> str:
    """Empty where namespaces can be made."""
    if shutil.which("ip") is None:
        return "no ip command"
    name = f"sai{os.getpid()}x"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespaces: {made.stderr.strip()}"
    _ip("netns", "del", name)
    return ""


@contextmanager
def household(console_port: int) -> Iterator[Household]:
    name = f"sai{os.getpid()}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", f"{name}-o", "type", "veth", "peer", "name", f"{name}-i", "netns", name)
        _ip("addr", "add", f"{OUTSIDE}/{_PREFIX_BITS}", "dev", f"{name}-o")
        _ip("link", "set", f"{name}-o", "up")
        for words in (("addr", "add", f"{INSIDE}/{_PREFIX_BITS}", "dev", f"{name}-i"), ("link", "set", "lo", "up")):
            _ip("-n", name, *words)
        _ip("-n", name, "link", "set", f"{name}-i", "up")
        with _router(console_port):
            yield Household(name, ("ip", "netns", "exec", name), console_port)
    finally:
        _ip("netns", "del", name)  # the pair of interfaces goes with it


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def _router(console_port: int) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def translate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", console_port)
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(translate, OUTSIDE, console_port), loop).result(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
