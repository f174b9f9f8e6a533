"""A passkey in software: a real P-256 key that answers WebAuthn's two ceremonies as a browser would.

https://www.w3.org/TR/webauthn-3/#sctn-registering-a-new-credential
https://www.w3.org/TR/webauthn-3/#sctn-verifying-assertion
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

FLAG = AuthenticatorData.FLAG


class Passkey:
    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.id = os.urandom(32)
        self.user_handle = b""
        self.signatures = 0
        self._key = ec.generate_private_key(ec.SECP256R1())

    def register(self, options: dict[str, Any]) -> dict[str, Any]:
        """The credential for the `creation_options` that the server gave."""
        asked = options["publicKey"]
        self.user_handle = asked["user"]["id"]
        public_key = ES256.from_cryptography_key(self._key.public_key())
        data = AuthenticatorData.create(
            hashlib.sha256(asked["rp"]["id"].encode()).digest(),
            FLAG.UP | FLAG.UV | FLAG.AT,
            self.signatures,
            AttestedCredentialData.create(Aaguid.NONE, self.id, public_key),
        )
        response = {
            "clientDataJSON": websafe_encode(self._client_data(CollectedClientData.TYPE.CREATE, asked["challenge"])),
            "attestationObject": websafe_encode(AttestationObject.create("none", data, {})),
        }
        return self._credential(response) | {"clientExtensionResults": {"credProps": {"rk": True}}}

    def sign_in(self, options: dict[str, Any]) -> dict[str, Any]:
        """The assertion for the `request_options` that the server gave."""
        asked = options["publicKey"]
        self.signatures += 1
        data = AuthenticatorData.create(
            hashlib.sha256(asked["rpId"].encode()).digest(), FLAG.UP | FLAG.UV, self.signatures
        )
        client_data = self._client_data(CollectedClientData.TYPE.GET, asked["challenge"])
        signed = data + hashlib.sha256(client_data).digest()
        response = {
            "clientDataJSON": websafe_encode(client_data),
            "authenticatorData": websafe_encode(data),
            "signature": websafe_encode(self._key.sign(signed, ec.ECDSA(hashes.SHA256()))),
            "userHandle": self.user_handle,
        }
        return self._credential(response)

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return CollectedClientData.create(kind, challenge, self.origin)

    def _credential(self, response: dict[str, str]) -> dict[str, Any]:
        name = websafe_encode(self.id)
        return {"type": "public-key", "id": name, "rawId": name, "response": response, "clientExtensionResults": {}}
