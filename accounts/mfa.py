"""Second factors: the secrets of authenticator apps and recovery codes are sealed before they are stored.

allauth does not tell whose secret it is, so the seal is bound to the table only, not to a row.
"""

from __future__ import annotations

import base64
from functools import cache

from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings

from common.secrets import KeyRing

_AAD = "mfa_authenticator|data"


@cache
def _ring() -> KeyRing:
    return KeyRing.parse(settings.KEYRING)


class MFAAdapter(DefaultMFAAdapter):
    def encrypt(self, text: str) -> str:
        return base64.b64encode(_ring().seal(text.encode(), _AAD)).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Raises: SealingKeyMissing, SealBroken."""
        return _ring().open(base64.b64decode(encrypted_text), _AAD).decode()
