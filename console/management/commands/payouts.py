"""Payouts by bank, and checking banks: `manage.py payouts csv`, `confirm`, `return`, `verify`, `list`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit import Actor
from accounts.models import Organization
from billing import bank_payouts, payees
from billing.models import Payout
from common.cells import csv_line
from common.errors import CodedError

OPERATOR = Actor.system("operator")


class Command(BaseCommand):
    help = "Lists payouts, gives the file of those to be sent by bank, and books what became of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        acts.add_parser("list", help="what is open")
        acts.add_parser("csv", help="what is to be sent by bank, and marks it as being sent").add_argument(
            "--period", default="", help="of one month only, 2026-11"
        )
        confirm = acts.add_parser("confirm", help="the bank has paid it")
        confirm.add_argument("payout")
        confirm.add_argument("--reference", required=True, help="the bank's, different for each payout")
        back = acts.add_parser("return", help="the bank did not pay it")
        back.add_argument("payout")
        back.add_argument("--reason", required=True)
        verify = acts.add_parser("verify", help="the bank account of an organisation was checked")
        verify.add_argument("organization", help="its short name")
        verify.add_argument("--wrong", default="", help="what is wrong with it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['act']}")(options)
        except CodedError as refusal:
            raise CommandError(refusal.message) from None

    def _list(self, options: dict[str, Any]) -> None:
        for one in Payout.objects.filter(state__in=Payout.OPEN).select_related("org").order_by("pk"):
            about = f"{one.state} {one.reason}".strip()
            self.stdout.write(f"{one.public_id}  {one.org.slug}  ${one.cents / 100:.2f}  {one.method}  {about}")

    def _csv(self, options: dict[str, Any]) -> None:
        for row in (bank_payouts.COLUMNS, *bank_payouts.rows(options["period"])):
            self.stdout.write(csv_line(row), ending="")

    def _confirm(self, options: dict[str, Any]) -> None:
        bank_payouts.confirm(options["payout"], options["reference"], OPERATOR)
        self.stdout.write("Booked as paid.")

    def _return(self, options: dict[str, Any]) -> None:
        bank_payouts.send_back(options["payout"], options["reason"], OPERATOR)
        self.stdout.write("The money can be paid out anew, once the destination was verified.")

    def _verify(self, options: dict[str, Any]) -> None:
        organization = Organization.objects.filter(slug=options["organization"], deleted_at=None).first()
        payee = payees.payee_of(organization) if organization else None
        if organization is None or payee is None or payee.sealed is None:
            raise CommandError(f"{options['organization']!r} has named no bank.")
        payees.verify(organization, OPERATOR, is_right=not options["wrong"], problem=options["wrong"])
        self.stdout.write("Noted.")
