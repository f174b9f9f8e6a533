"""A home behind a router: a network namespace whose only way out is one that translates addresses.

    home ── veth ── router: a namespace whose kernel gives each connection the router's address ── veth ── front

The front is this process, in place of the proxy before a console: it listens at the far end and passes on. Nothing
leads from outside into the home. Where the kernel has no packet filter to translate with, or `nft` is not installed,
the router is the front itself: it accepts from the home alone, and dials the console in its own name.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OUTSIDE, INSIDE = "198.51.100.1", "198.51.100.2"
SECOND_ADDRESS = "198.51.100.3"
_WAN_BITS = 29
_HOME, _GATEWAY, _LAN_BITS = "192.168.77.2", "192.168.77.1", 24
_RULES = """\
table ip home {{
    chain out {{ type nat hook postrouting priority 100; oifname "{wan}" masquerade; }}
    chain through {{
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "{lan}" oifname "{wan}" accept
    }}
}}
"""


@dataclass(frozen=True)
class Household:
    """
    Args:
        name: of the namespace that is the home.
        router: of the one that is the router; empty: the kernel translates nothing here.
        prefix: words before a command that lives in the home.
        port: of the console, which is the same on the front: machines know the console by it.
        callers: addresses that the front was called from, in their order.
    """

    name: str
    router: str
    prefix: tuple[str, ...]
    port: int
    callers: list[str] = field(default_factory=list)

    @property
    def console(self) -> str:
        return f"http://{OUTSIDE}:{self.port}"

    def unplug(self) -> None:
        """Both ends keep their connections, and hear nothing more: half-open."""
        _ip("link", "set", f"{self.name}-o", "down")

    def plug_in(self) -> None:
        _ip("link", "set", f"{self.name}-o", "up")

    def move(self, former: str, address: str) -> None:
        """The router's provider gives it another address, as many do every night: what it translated is forgotten."""
        wan = f"{self.name}-w"
        _ip("-n", self.router, "addr", "del", f"{former}/{_WAN_BITS}", "dev", wan)
        _ip("-n", self.router, "addr", "add", f"{address}/{_WAN_BITS}", "dev", wan)


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
    router = _translating(name)
    made = Household(name, router, ("ip", "netns", "exec", name), console_port)
    try:
        _cable(name, router)
        with _front(made):
            yield made
    finally:
        for one in filter(None, (name, router)):
            _ip("netns", "del", one)  # its interfaces go with it


def _translating(home: str) -> str:
    """A namespace that translates addresses; empty where none can be had."""
    name = f"{home}r"
    _ip("netns", "add", name)
    rules = _RULES.format(wan=f"{home}-w", lan=f"{home}-l")
    ways = (["nft", "-f", "-"], rules), (["tee", "/proc/sys/net/ipv4/ip_forward"], "1")
    for words, given in ways:
        done = subprocess.run(
            ["ip", "netns", "exec", name, *words], input=given, capture_output=True, text=True, check=False
        )
        if done.returncode:
            _ip("netns", "del", name)
            return ""
    return name


def _cable(home: str, router: str) -> None:
    outer = router or home
    _ip("link", "add", f"{home}-o", "type", "veth", "peer", "name", f"{home}-w", "netns", outer)
    _ip("addr", "add", f"{OUTSIDE}/{_WAN_BITS}", "dev", f"{home}-o")
    _ip("-n", outer, "addr", "add", f"{INSIDE}/{_WAN_BITS}", "dev", f"{home}-w")
    _ip("link", "set", f"{home}-o", "up")
    _ip("-n", outer, "link", "set", f"{home}-w", "up")
    _ip("-n", home, "link", "set", "lo", "up")
    if not router:
        return
    _ip("-n", router, "link", "add", f"{home}-l", "type", "veth", "peer", "name", f"{home}-i", "netns", home)
    for place, address, device in ((router, _GATEWAY, "l"), (home, _HOME, "i")):
        _ip("-n", place, "addr", "add", f"{address}/{_LAN_BITS}", "dev", f"{home}-{device}")
        _ip("-n", place, "link", "set", f"{home}-{device}", "up")
    _ip("-n", home, "route", "add", "default", "via", _GATEWAY)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def _front(home: Household) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        home.callers.append(writer.get_extra_info("peername")[0])
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", home.port)
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(pass_on, OUTSIDE, home.port), loop).result(10)
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
