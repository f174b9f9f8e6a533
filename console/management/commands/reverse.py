"""Takes one transfer back: `manage.py reverse credit:org_…:launch --reason "Given to the wrong one" --dry-run`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import audit
from accounts.audit import Actor
from billing.repairs import refusal_of
from common.errors import CodedError
from common.money import usd_text
from ledger import kinds, transfers
from ledger.models import Account, Transfer

OPERATOR = Actor.system("operator")


class Command(BaseCommand):
    help = "Posts the opposite of one transfer, once. It is the only way to mend the ledger."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("business_id", help="as reconcile and the Billing page's file say it")
        parser.add_argument("--reason", required=True, help="one line; whose wallet it is reads it too")
        parser.add_argument("--dry-run", action="store_true", help="say what would move, and move nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        reason = options["reason"].strip()
        if not reason:
            raise CommandError("Say why.")
        transfer = Transfer.objects.filter(business_id=options["business_id"]).first()
        if transfer is None:
            raise CommandError(f"There is no transfer {options['business_id']!r}.")
        if refusal := refusal_of(transfer):
            raise CommandError(refusal)
        try:
            is_new = self._reverse(transfer, reason, is_tried=options["dry_run"])
        except CodedError as error:
            raise CommandError(error.message) from None
        done = "Taken back" if is_new else "Was taken back before"
        self.stdout.write(f"{done}: {transfer.business_id} ({transfer.kind}).")
        if options["dry_run"]:
            self.stdout.write("A dry run: nothing has moved.")

    def _reverse(self, transfer: Transfer, reason: str, *, is_tried: bool) -> bool:
        """Raises: InvalidTransfer, NotCovered, NotReversible."""
        with transaction.atomic():
            posted = transfers.reverse(transfer.business_id, reason)
            moved = Transfer.objects.get(pk=posted.id).entries.select_related("account").order_by("account")
            moves = {_label(one.account): _amount(one.account, one.amount) for one in moved}
            for label, amount in moves.items():
                self.stdout.write(f"  {amount:>20}  {label}")
            if posted.is_new:
                about = {"kind": transfer.kind, "reason": reason} | moves
                subject = ("transfer", str(transfer.pk))
                audit.record(None, OPERATOR, "transfer.reversed", *subject, label=transfer.business_id, after=about)
            if is_tried:
                transaction.set_rollback(True)
        return posted.is_new


def _label(account: Account) -> str:
    return f"{account} (account {account.pk})"


def _amount(account: Account, amount: int) -> str:
    return f"{usd_text(amount)} USD" if account.currency == kinds.USD else f"{amount} {account.currency}"
