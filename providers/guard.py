"""Where this room meets the egress guard: URLs that people enter, and the client that tests them."""

from __future__ import annotations

import httpx
from django.conf import settings

from providers.egress import AllowList, EgressRefused, check_url
from providers.errors import AddressRefused
from providers.guarded_http import guarded_httpx_client
from providers.presets import Preset


def check_base_url(preset: Preset, base_url: str) -> None:
    """Refuses what the guard would never dial, while the person still has the form before them.

    Names are judged at each dial; a vendor's own URL needs no judgement.

    Raises:
        AddressRefused: with the sentence on how the operator may allow it.
    """
    if base_url == preset.fixed_base_url and not preset.local:
        return
    try:
        check_url(base_url, AllowList.parse(settings.EGRESS_ALLOW))
    except EgressRefused as refused:
        raise AddressRefused("base_url", refused.message) from refused


def guarded_client(*, connect_s: float, read_s: float) -> httpx.Client:
    """Follows no redirect, keeps no cookie, and dials only what the guard allows."""
    return guarded_httpx_client(
        AllowList.parse(settings.EGRESS_ALLOW), timeout=httpx.Timeout(read_s, connect=connect_s)
    )
