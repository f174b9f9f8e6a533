"""The Ed25519 key pair that is this machine's identity. The private half never leaves it."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from shareai_node.errors import AgentError
from shareai_node.files import read_bytes, write_private

_ENROLL = b"shareai-node enroll v1\n"
_CONNECT = b"shareai-node connect v1\n"


class Identity:
    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_bytes = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def public_text(self) -> str:
        return b64url(self.public_bytes)

    def enrollment_proof(self, token: str, console: str) -> str:
        """Shows that whoever holds the token also holds the key, and that it was meant for this console."""
        return self._sign(_ENROLL + token.encode() + b"\n" + console.encode() + b"\n" + self.public_bytes)

    def answer(self, node: str, console: str, nonce: bytes) -> str:
        """To a connection's challenge. The console's origin is in it, so that no other console can pass it on."""
        return self._sign(_CONNECT + node.encode() + b"\n" + console.encode() + b"\n" + nonce)

    def _sign(self, message: bytes) -> str:
        return b64url(self._key.sign(message))


def create(path: Path) -> Identity:
    """A new identity, saved at once."""
    key = Ed25519PrivateKey.generate()
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Identity(key)


def find(path: Path) -> Identity | None:
    """Raises: AgentError: there is a file, and no Ed25519 key is in it."""
    data = read_bytes(path)
    if data is None:
        return None
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise AgentError(f"{path} holds no key of this agent. Remove it and enrol again.")
    return Identity(key)


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64url(text: str) -> bytes:
    """Raises: ValueError: not base64url."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
