"""Seals every stored secret with the key ring's newest key. May be stopped and started again at any time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing.payees import seal_anew
from metering.contents import reseal
from providers.rotation import rotate_keys


class Command(BaseCommand):
    help = "Seals stored secrets anew with the newest key of SHAREAI_KEYRING."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=100, help="rows per transaction")

    def handle(self, *args: Any, **options: Any) -> None:
        result = rotate_keys(options["batch"])
        resealed, unreadable = reseal(options["batch"])
        rotated = result.rotated + resealed + seal_anew()
        self.stdout.write(f"{rotated} sealed anew, {result.unreadable + unreadable} cannot be opened.")
