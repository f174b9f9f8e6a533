"""Secrets at rest and in memory: AES-256-GCM with a ring of keys, and a wrapper that does not show itself.

A sealed secret is bound to its place by `aad` (`table|pk|org|origin`): copied to another row it does not open.

    byte 0     version, 1
    bytes 1–2  id of the key, big-endian
    bytes 3–14 nonce
    the rest   ciphertext and tag; version and id are authenticated with it

The ring is `SHAREAI_KEYRING="1:<base64 of 32 bytes>,2:<base64>"`. The highest id seals, every id opens: to rotate,
add a key, seal anew what `needs_rotation`, then remove the old one. Nonces are random, which is safe for 2**32
seals per key.
"""

import base64
import binascii
import hmac
import os
import re
import secrets
from typing import NoReturn, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = 1
_HEADER_BYTES, _NONCE_BYTES, _TAG_BYTES, _KEY_BYTES = 3, 12, 16, 32
_MAX_KEY_ID = 0xFFFF
_FEWEST_DISTINCT_BYTES = 8  # of 32 random bytes; fewer happens less often than once in 2**128 keys
_ENTRY = re.compile(r"([1-9][0-9]{0,4}):([A-Za-z0-9+/_-]{43}=?)", re.ASCII)


class SecretsError(Exception):
    """Base of what can go wrong here. No message ever holds a key or a secret."""


class KeyRingInvalid(SecretsError, ValueError):
    """The text of a key ring is not what it should be."""


class SealingKeyMissing(SecretsError):
    """The secret was sealed with a key that the ring no longer, or does not yet, have."""


class SealBroken(SecretsError):
    """The bytes are no sealed secret, were changed, or belong to another place (another `aad`)."""


class Secret:
    """A text that shows itself only when asked to by `reveal`.

    Not a `str`, so that joining, formatting, logging and serialising cannot let it out. It refuses to be pickled:
    a secret has no business in task arguments.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def hint(self) -> str:
        """The last four characters, or nothing of a secret so short that they would tell too much."""
        return self._text[-4:] if len(self._text) >= 16 else ""

    def __repr__(self) -> str:
        return "Secret('…')"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled")


class KeyRing:
    """Args: keys: 32 bytes for each id from 1 to 65,535."""

    __slots__ = ("_ciphers", "sealing_id")

    def __init__(self, keys: dict[int, bytes]) -> None:
        if not keys:
            raise KeyRingInvalid("The key ring is empty; it needs at least one key, as 1:<base64 of 32 bytes>.")
        for key_id, key in keys.items():
            _refuse_unfit(key_id, key)
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.sealing_id = max(keys)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: KeyRingInvalid: naming the entry by its position, never by its content."""
        keys: dict[int, bytes] = {}
        for position, entry in enumerate(text.split(",") if text.strip() else [], start=1):
            match = _ENTRY.fullmatch(entry.strip())
            if match is None:
                raise KeyRingInvalid(f"Entry {position} of the key ring is not <id>:<base64 of 32 bytes>.")
            key_id = int(match[1])
            if key_id in keys:
                raise KeyRingInvalid(f"The key ring has the id {key_id} twice.")
            keys[key_id] = _decode(match[2])
        return cls(keys)

    def seal(self, plaintext: bytes, aad: str) -> bytes:
        header = bytes([_VERSION]) + self.sealing_id.to_bytes(2, "big")
        nonce = os.urandom(_NONCE_BYTES)
        return header + nonce + self._ciphers[self.sealing_id].encrypt(nonce, plaintext, header + aad.encode())

    def open(self, sealed: bytes, aad: str) -> bytes:
        """Raises: SealingKeyMissing, SealBroken."""
        sealed = bytes(sealed)
        cipher = self._ciphers.get(_key_id(sealed))
        if cipher is None:
            raise SealingKeyMissing(f"The key ring has no key {_key_id(sealed)}; sealed secrets still need it.")
        header, nonce = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES]
        try:
            return cipher.decrypt(nonce, sealed[_HEADER_BYTES + _NONCE_BYTES :], header + aad.encode())
        except InvalidTag:
            raise SealBroken("The sealed secret was changed, or belongs to another place.") from None

    def needs_rotation(self, sealed: bytes) -> bool:
        """True if another key than the newest sealed it. Raises: SealBroken."""
        return _key_id(bytes(sealed)) != self.sealing_id

    def __repr__(self) -> str:
        return f"KeyRing(ids={sorted(self._ciphers)})"


def generate_entry(key_id: int = 1) -> str:
    """A fresh entry for a ring, `1:<base64>`: secret from its birth."""
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"


def _key_id(sealed: bytes) -> int:
    if len(sealed) < _HEADER_BYTES + _NONCE_BYTES + _TAG_BYTES or sealed[0] != _VERSION:
        raise SealBroken("The bytes are not a sealed secret.")
    return int.from_bytes(sealed[1:_HEADER_BYTES], "big")


def _decode(text: str) -> bytes:
    """Both alphabets of base64, with or without padding."""
    standard = text.rstrip("=").replace("-", "+").replace("_", "/") + "="
    try:
        return base64.b64decode(standard, validate=True)
    except binascii.Error:
        raise KeyRingInvalid("A key of the key ring is not base64.") from None


def _refuse_unfit(key_id: int, key: bytes) -> None:
    if not 1 <= key_id <= _MAX_KEY_ID:
        raise KeyRingInvalid(f"The key id {key_id} is not between 1 and {_MAX_KEY_ID}.")
    if len(key) != _KEY_BYTES:
        raise KeyRingInvalid(f"Key {key_id} of the key ring has {len(key)} bytes instead of {_KEY_BYTES}.")
    if len(set(key)) < _FEWEST_DISTINCT_BYTES:
        raise KeyRingInvalid(f"Key {key_id} of the key ring is not random.")
