"""Who may connect, by the rows of PostgreSQL: the gate behind `nodes.consumers.Door`."""

from __future__ import annotations

from typing import Any

import msgspec
from django.db import DatabaseError

from nodes import admission, proofs
from nodes.consumers import UNKNOWN, UNSUPPORTED, Hello, Refused
from nodes.link import RESTART, REVOKED
from nodes.threads import in_thread
from nodes.versions import LEAST_AGENT, is_supported


class Entry(msgspec.Struct, frozen=True):
    node: str
    generation: int
    config: dict[str, Any]


class Gate:
    """Args: console_url: where nodes reach this console; what they sign names its origin."""

    def __init__(self, console_url: str) -> None:
        self.origin = proofs.origin_of(console_url)

    async def enter(self, hello: Hello, nonce: bytes) -> Entry:
        """Raises Refused."""
        try:
            return await in_thread(self._admit, hello, nonce)
        except DatabaseError as error:
            raise Refused(RESTART, "come back in a moment") from error

    def _admit(self, hello: Hello, nonce: bytes) -> Entry:
        standing = admission.load_standing(hello.node)
        if standing is None or not proofs.proves_connection(
            standing.public_key, proofs.decoded(hello.signature), hello.node, self.origin, nonce
        ):
            raise Refused(UNKNOWN, "this console does not know this machine by this key")
        if standing.revoked:
            raise Refused(REVOKED, "this machine was removed")
        if not is_supported(hello.version):
            raise Refused(UNSUPPORTED, f"this console works with version {LEAST_AGENT} or newer")
        generation = admission.open_connection(standing.id, hello.version)
        return Entry(standing.public_id, generation, standing.config)
