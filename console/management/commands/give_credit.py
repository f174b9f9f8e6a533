"""Gives an organisation credits: `manage.py give_credit acme 25 --purpose transfer-2211 --reason "Bank transfer"`."""

from __future__ import annotations

from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit import Actor
from accounts.models import Organization
from billing import credits, statements
from common.errors import CodedError
from common.money import AmountInvalid, format_usd, nanos_from_usd


class Command(BaseCommand):
    help = "Gives an organisation credits, once for each purpose; a negative amount takes back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organization", help="its short name")
        parser.add_argument("amount", help="US dollars")
        parser.add_argument("--purpose", required=True, help="names the gift; the same one is given once")
        parser.add_argument("--reason", required=True, help="one line that the organisation sees")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization.objects.filter(slug=options["organization"], deleted_at=None).first()
        if organization is None:
            raise CommandError(f"There is no organisation {options['organization']!r}.")
        actor, named = Actor.system("operator"), {name: options[name] for name in ("purpose", "reason")}
        try:
            nanos = nanos_from_usd(Decimal(options["amount"]))
            posted = credits.give(organization, actor, nanos, **named)
        except (CodedError, AmountInvalid, InvalidOperation) as error:
            raise CommandError(str(error) or "The amount is not a number.") from None
        done = "Given" if posted.is_new else "Was given before"
        left = format_usd(statements.balance(organization).available)
        self.stdout.write(f"{done}: {format_usd(nanos)}. {organization.name} has {left} now.")
