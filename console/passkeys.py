"""Passkeys belong to a name. At an IP address browsers make none, and say so to nobody but the console's log."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Obstacle:
    """`host` is an IP address; `same_by_name` leads to the same page where passkeys work, where that is known."""

    host: str
    same_by_name: str


def find_obstacle(request: HttpRequest) -> Obstacle | None:
    """None where passkeys can work."""
    parts = urlsplit(f"//{request.get_host()}")
    host = parts.hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    port = f":{parts.port}" if parts.port else ""
    by_name = f"{request.scheme}://localhost{port}{request.get_full_path()}" if address.is_loopback else ""
    return Obstacle(host, by_name)
