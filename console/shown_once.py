"""What is shown once and kept nowhere, across the redirect after it was made: sealed, in the session of who made it.

For a few minutes, or until that person says it is stored. So reloading the page shows it again and makes nothing.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence

import orjson
from django.http import HttpRequest

from common.secrets import SecretsError
from providers.sealing import keyring

KEPT_S = 600
_IN_SESSION = "shown_once"


def keep(request: HttpRequest, name: str, lines: Sequence[str]) -> None:
    sealed = keyring().seal(orjson.dumps([*lines]), _aad(request, name))
    now = time.time()
    kept = {one: entry for one, entry in request.session.get(_IN_SESSION, {}).items() if entry["until"] > now}
    kept[name] = {"until": now + KEPT_S, "sealed": base64.b64encode(sealed).decode()}
    request.session[_IN_SESSION] = kept


def find(request: HttpRequest, name: str) -> list[str]:
    """Nothing when it was stored, when its time is up, and for everybody else."""
    entry = request.session.get(_IN_SESSION, {}).get(name)
    if entry is None or entry["until"] <= time.time():
        return []
    try:
        lines: list[str] = orjson.loads(keyring().open(base64.b64decode(entry["sealed"]), _aad(request, name)))
    except SecretsError:
        return []
    return lines


def forget(request: HttpRequest, name: str) -> None:
    kept = dict(request.session.get(_IN_SESSION, {}))
    if kept.pop(name, None) is not None:
        request.session[_IN_SESSION] = kept


def _aad(request: HttpRequest, name: str) -> str:
    return "|".join(("session", str(request.user.pk), name))
