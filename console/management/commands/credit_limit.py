"""Lets an organisation pay later: `manage.py credit_limit acme 500 --reason "Invoiced monthly"`."""

from __future__ import annotations

from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit import Actor
from accounts.models import Organization
from billing import credits
from common.errors import CodedError
from common.money import AmountInvalid, format_usd, nanos_from_usd


class Command(BaseCommand):
    help = "Sets how much an organisation may spend before it pays, in US dollars; 0 for nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organization", help="its short name")
        parser.add_argument("amount", help="US dollars")
        parser.add_argument("--reason", required=True, help="one line that the organisation sees")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization.objects.filter(slug=options["organization"], deleted_at=None).first()
        if organization is None:
            raise CommandError(f"There is no organisation {options['organization']!r}.")
        try:
            nanos = nanos_from_usd(Decimal(options["amount"]))
            before = credits.set_limit(organization, Actor.system("operator"), nanos, reason=options["reason"])
        except (CodedError, AmountInvalid, InvalidOperation) as error:
            raise CommandError(str(error) or "The amount is not a number.") from None
        self.stdout.write(
            f"The credit limit of {organization.name} was {format_usd(before)}, now {format_usd(nanos)}."
        )
