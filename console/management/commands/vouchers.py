"""Codes for credits: `manage.py vouchers make 25 --uses 100 --reason "Launch"`, `list`, `withdraw`."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit import Actor
from billing import vouchers
from billing.models import Voucher
from common.errors import CodedError
from common.money import AmountInvalid, format_usd, nanos_from_usd

OPERATOR = Actor.system("operator")


class Command(BaseCommand):
    help = "Makes, lists and withdraws codes that organisations redeem for credits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        make = acts.add_parser("make", help="makes one; the code is shown once")
        make.add_argument("amount", help="US dollars")
        make.add_argument("--uses", type=int, default=1, help="by how many organisations (default 1)")
        make.add_argument("--until", type=datetime.fromisoformat, help="the last day, or moment (UTC)")
        make.add_argument("--reason", required=True, help="one line that the organisation sees")
        make.add_argument("--code", default="", help="of your own choice; without it, one that cannot be guessed")
        acts.add_parser("list", help="those there are, newest first")
        acts.add_parser("withdraw", help="ends one; what was redeemed stays").add_argument("voucher")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['act']}")(options)

    def _make(self, options: dict[str, Any]) -> None:
        try:
            made = vouchers.make(
                nanos_from_usd(Decimal(options["amount"])), OPERATOR, uses=options["uses"], reason=options["reason"],
                expires_at=_end(options["until"]), code=options["code"],
            )  # fmt: skip
        except (CodedError, AmountInvalid, InvalidOperation) as error:
            raise CommandError(str(error) or "The amount is not a number.") from None
        self.stdout.write(f"{made.code}  ({made.voucher.public_id}, {format_usd(made.voucher.nanos)})")

    def _list(self, options: dict[str, Any]) -> None:
        for voucher in Voucher.objects.order_by("-pk"):
            end = f", until {voucher.expires_at:%Y-%m-%d %H:%M} UTC" if voucher.expires_at else ""
            state = ", withdrawn" if voucher.withdrawn_at else ""
            used = f"{voucher.used} of {voucher.uses}"
            what = f"…{voucher.hint}  {format_usd(voucher.nanos)}  {used}{end}{state}  {voucher.reason}"
            self.stdout.write(f"{voucher.public_id}  {what}")

    def _withdraw(self, options: dict[str, Any]) -> None:
        if not vouchers.withdraw(options["voucher"], OPERATOR):
            raise CommandError(f"There is no open voucher {options['voucher']!r}.")
        self.stdout.write("Withdrawn.")


def _end(until: datetime | None) -> datetime | None:
    """A day without a time is meant as a whole."""
    if until is None:
        return None
    moment = until if until.tzinfo else until.replace(tzinfo=UTC)
    whole_day = (moment.hour, moment.minute, moment.second) == (0, 0, 0)
    return moment.replace(hour=23, minute=59, second=59) if whole_day else moment
