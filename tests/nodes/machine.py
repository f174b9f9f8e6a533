"""A machine that wants in: a key pair, and what its agent would post."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.http import HttpResponse
from django.test import Client

ORIGIN = "http://testserver"
_addresses = count(1)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def new_address() -> str:
    """One that no test has used: failures are counted by address, in a Redis that outlives a test."""
    return "198.18." + ".".join(map(str, divmod(next(_addresses), 250)))


class Machine:
    def __init__(self, hostname: str = "workbench.lab.example", address: str = "") -> None:
        self.hostname = hostname
        self.address = address or new_address()
        self._key = Ed25519PrivateKey.generate()

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def proof(self, token: str, origin: str = ORIGIN) -> bytes:
        return self.sign(
            b"shareai-node enroll v1\n" + token.encode() + b"\n" + origin.encode() + b"\n" + self.public_key
        )

    def application(self, token: str, origin: str = ORIGIN, **changes: Any) -> dict[str, Any]:
        said = {
            "token": token,
            "public_key": b64(self.public_key),
            "proof": b64(self.proof(token, origin)),
            "name": None,
            "hostname": self.hostname,
            "os": "linux",
            "os_version": "Ubuntu 24.04",
            "arch": "x86_64",
            "version": "0.1.0",
            "sent_at": datetime.now(UTC).isoformat(),
        }
        return said | changes

    def enrol(self, token: str, origin: str = ORIGIN, **changes: Any) -> HttpResponse:
        return self.post(self.application(token, origin, **changes))

    def post(self, body: Any, **extra: Any) -> HttpResponse:
        options = {"content_type": "application/json", "REMOTE_ADDR": self.address} | extra
        return Client(enforce_csrf_checks=True).post("/nodes/v1/enroll", body, **options)
