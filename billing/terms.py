"""How what a request cost is divided, as the operator set it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Terms:
    """In millionths.

    Attributes:
        margin_ppm: what the platform adds to its providers' prices, as a part of those.
        owner_share_ppm: what of the price of a request on somebody's machine is the owner's.
    """

    margin_ppm: int
    owner_share_ppm: int

    @classmethod
    def from_settings(cls) -> Self:
        return cls(
            _ppm("PLATFORM_MARGIN_PERCENT", settings.PLATFORM_MARGIN_PERCENT, 10_000),
            _ppm("NODE_OWNER_SHARE_PERCENT", settings.NODE_OWNER_SHARE_PERCENT, 100),
        )

    def provider_nanos(self, charge_nanos: int) -> int:
        """What goes to the provider of a price that has the margin in it, rounded up."""
        return -(-charge_nanos * PPM // (PPM + self.margin_ppm))

    def owner_nanos(self, paid_nanos: int) -> int:
        return paid_nanos * self.owner_share_ppm // PPM


def _ppm(name: str, percent: float, most: int) -> int:
    if not 0 <= percent <= most:
        raise ImproperlyConfigured(f"{name}={percent} is not valid: use 0 to {most}")
    return round(percent * PPM / 100)
