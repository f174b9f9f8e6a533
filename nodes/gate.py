"""Who may connect, by the rows of PostgreSQL: the gate behind `nodes.consumers.Door`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from django.db import DatabaseError

from nodes import admission, proofs
from nodes.admission import Standing
from nodes.consumers import UNKNOWN, UNSUPPORTED, Hello, Refused
from nodes.links import GONE
from nodes.threads import in_thread
from nodes.versions import LEAST_AGENT, is_supported
from nodes.wire import RESTART, REVOKED


class Entry(msgspec.Struct, frozen=True):
    node: str
    generation: int
    config: dict[str, Any]


class Gate:
    """
    Args:
        console_url: where nodes reach this console; what they sign names its origin.
        hosts: other names of the console (ALLOWED_HOSTS; patterns are none).

    Beside these a machine is let in by the address under which it enrolled, whatever its name and port.
    """

    def __init__(self, console_url: str, hosts: Iterable[str] = ()) -> None:
        self.origin = proofs.origin_of(console_url)
        self._origins = _origins(console_url, hosts)

    async def enter(self, hello: Hello, nonce: bytes) -> Entry:
        """Raises Refused."""
        try:
            return await in_thread(self._admit, hello, nonce)
        except DatabaseError as error:
            raise Refused(RESTART, "come back in a moment") from error

    def _admit(self, hello: Hello, nonce: bytes) -> Entry:
        standing = admission.load_standing(hello.node)
        if standing is None or not self._is_proven(standing, hello, nonce):
            raise Refused(UNKNOWN, "this console does not know this machine by this key")
        if standing.revoked:
            raise Refused(REVOKED, GONE)
        if not is_supported(hello.version):
            raise Refused(UNSUPPORTED, f"this console works with version {LEAST_AGENT} or newer")
        generation = admission.open_connection(standing.id, hello.version)
        return Entry(standing.public_id, generation, standing.config)

    def _is_proven(self, standing: Standing, hello: Hello, nonce: bytes) -> bool:
        signature, key = proofs.decoded(hello.signature), standing.public_key
        origins = dict.fromkeys((standing.origin or self.origin, *self._origins))
        return any(proofs.proves_connection(key, signature, hello.node, origin, nonce) for origin in origins)


def _origins(console_url: str, hosts: Iterable[str]) -> tuple[str, ...]:
    """The public one, and the same console by its other names, such as localhost beside 127.0.0.1."""
    parts = urlsplit(console_url)
    port = f":{parts.port}" if parts.port else ""
    named = [host for host in hosts if host and not host.startswith(".") and "*" not in host]
    others = (proofs.origin_of(f"{parts.scheme}://{host}{port}") for host in named)
    return tuple(dict.fromkeys((proofs.origin_of(console_url), *others)))
