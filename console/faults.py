"""The switch of the demo's simulated providers: which fault they play. Only in the demo, only on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from providers.models import Connection

_TIMEOUT_S = 3.0


class ControlAway(Exception):
    """The simulated provider does not answer its control endpoint."""


@dataclass(frozen=True, slots=True)
class FaultState:
    faults: tuple[str, ...]
    current: str
    share: float


def is_switchable(connection: Connection) -> bool:
    return bool(settings.DEMO and connection.simulated and _is_loopback(connection.base_url))


def read(connection: Connection) -> FaultState:
    """Raises: ControlAway."""
    return _state(_call(connection, "GET", None))


def switch(connection: Connection, fault: str, share: float) -> FaultState:
    """Args: fault: one of `FaultState.faults`; `ok` ends it. Raises: ControlAway."""
    return _state(_call(connection, "POST", {"fault": fault, "share": share, "model": "*"}))


def _call(connection: Connection, method: str, wish: dict[str, object] | None) -> dict[str, object]:
    parts = urlsplit(connection.base_url)
    url = f"{parts.scheme}://{parts.netloc}/_control"
    try:
        answer = httpx.request(method, url, json=wish, timeout=_TIMEOUT_S, trust_env=False)
        answer.raise_for_status()
        told: dict[str, object] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise ControlAway from error
    return told


def _state(told: dict[str, object]) -> FaultState:
    rules, faults = told.get("rules"), told.get("faults")
    rule = rules.get("*", {}) if isinstance(rules, dict) else {}
    known = tuple(str(name) for name in faults) if isinstance(faults, list) else ()
    return FaultState(known, str(rule.get("fault", "ok")), float(rule.get("share", 1)))


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
