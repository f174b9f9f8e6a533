"""What a node signs with its key to prove who it is: at its enrolment, and at each connection.

Both name the console by the origin that the node knows, so that a proof given to one console is worth nothing at
another.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit

from common.signatures import is_signed

NONCE_BYTES = 32


def origin_of(url: str) -> str:
    """`scheme://host[:port]` in lower case, without a port that goes without saying."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme.lower())
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme.lower()}://{shown}{port}"


def proves_enrolment(public_key: bytes, signature: bytes, token: str, origin: str) -> bool:
    message = b"shareai-node enroll v1\n" + token.encode() + b"\n" + origin.encode() + b"\n" + public_key
    return is_signed(public_key, signature, message)


def proves_connection(public_key: bytes, signature: bytes, node: str, origin: str, nonce: bytes) -> bool:
    message = b"shareai-node connect v1\n" + node.encode() + b"\n" + origin.encode() + b"\n" + nonce
    return is_signed(public_key, signature, message)


def decoded(text: str) -> bytes:
    """Of base64url, padded or not; empty for what is none."""
    try:
        return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
