"""Takes over new prices of the installed catalogue, for those models whose prices came from it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from providers.prices import sync_prices


class Command(BaseCommand):
    help = "Updates prices that came from the catalogue; prices entered by people are never touched."

    def handle(self, *args: Any, **options: Any) -> None:
        result = sync_prices()
        self.stdout.write(f"{result.changed} of {result.looked_at} prices changed.")
