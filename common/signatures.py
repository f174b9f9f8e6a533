"""Ed25519 (RFC 8032): whether a message was signed by the owner of a public key."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PUBLIC_KEY_BYTES = 32


def is_signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """False as well for what is no key or no signature at all."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
