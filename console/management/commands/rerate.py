"""Charges a sold target's requests anew: `manage.py rerate 12 --price 3 --from 2026-11-01 --until 2026-11-03`."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import audit
from accounts.audit import Actor
from billing.errors import InvalidRerating
from billing.rerating import rerate
from common.money import format_usd

OPERATOR = Actor.system("operator")


def moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Charges what a sold target served by another version of its price, by compensating transfers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "target", type=int, help="as on its usage: the id of the model's row, negative for a machine's"
        )
        parser.add_argument("--price", type=int, required=True, help="the version of the price to charge by")
        parser.add_argument("--from", dest="from_", type=moment, required=True, help="ISO 8601, in UTC")
        parser.add_argument("--until", type=moment, required=True, help="ISO 8601, in UTC; not included")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = rerate(options["target"], options["price"], options["from_"], options["until"])
        except InvalidRerating as error:
            raise CommandError(error.message) from None
        if done.requests:
            said = {"price": options["price"], "from": options["from_"], "until": options["until"]}
            about = said | {"requests": done.requests, "charged_usd": format_usd(done.nanos)}
            with transaction.atomic():
                audit.record(None, OPERATOR, "price.corrected", "target", str(options["target"]), after=about)
        self.stdout.write(f"{done.requests} requests charged anew, {format_usd(done.nanos)} in all")
