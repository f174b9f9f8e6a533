"""API keys: `sk-sai-<12 public id>-<32 secret><6 check>`.

The public id finds the row, the secret (32 base62 characters, 190 bits) proves the right to it, and the check
characters (CRC-32 in base62) refuse a typing error with no look-up at all. This module is pure: rows are made
in `accounts.keys`, and the data plane compares against its snapshot.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import zlib
from typing import NamedTuple

PREFIX = "sk-sai-"
_ALPHABET = string.digits + string.ascii_letters
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_PUBLIC_LENGTH, _SECRET_LENGTH, _CHECK_LENGTH = 12, 32, 6
_TOTAL_LENGTH = len(PREFIX) + _PUBLIC_LENGTH + 1 + _SECRET_LENGTH + _CHECK_LENGTH


class KeyParts(NamedTuple):
    public_id: str
    secret_hash: bytes


class NewKey(NamedTuple):
    key: str
    public_id: str
    secret_hash: bytes


def _check(text: str) -> str:
    """CRC-32 as six base62 digits, two at a time: this runs for every request."""
    rest, low = divmod(zlib.crc32(text.encode()), len(_PAIRS))
    high, middle = divmod(rest, len(_PAIRS))
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def mint() -> NewKey:
    """A new key. `key` is to be shown once and forgotten; the other two are what is stored."""
    public_id, secret = _random(_PUBLIC_LENGTH), _random(_SECRET_LENGTH)
    stem = f"{PREFIX}{public_id}-{secret}"
    return NewKey(stem + _check(stem), public_id, hashlib.sha256(secret.encode()).digest())


def parse(key: str) -> KeyParts | None:
    """The parts of a well-formed key, or None for anything else, without any look-up."""
    if len(key) != _TOTAL_LENGTH or not key.startswith(PREFIX) or not key.isascii():
        return None
    stem, check = key[:-_CHECK_LENGTH], key[-_CHECK_LENGTH:]
    if _check(stem) != check:
        return None
    public_id, separator, secret = stem[len(PREFIX) :].partition("-")
    if not separator or len(public_id) != _PUBLIC_LENGTH or not public_id.isalnum():
        return None
    return KeyParts(public_id, hashlib.sha256(secret.encode()).digest())


def matches(parts: KeyParts, stored_hash: bytes) -> bool:
    return hmac.compare_digest(parts.secret_hash, stored_hash)
