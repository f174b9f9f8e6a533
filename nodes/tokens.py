"""Enrolment tokens: `sai-node-` and 48 hexadecimal digits, of which only the SHA-256 is stored."""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "sai-node-"
_SECRET_BYTES = 24
_TOKEN = re.compile(rf"{PREFIX}[0-9a-f]{{{2 * _SECRET_BYTES}}}")


def mint() -> str:
    return PREFIX + secrets.token_hex(_SECRET_BYTES)


def looks_like_one(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
