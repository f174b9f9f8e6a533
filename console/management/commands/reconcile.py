"""Proves the ledger: `manage.py reconcile`. Ends with 1 when an invariant does not hold."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ledger.invariants import all_invariants, reconcile


class Command(BaseCommand):
    help = "Checks that the ledger's invariants hold. Changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        findings = reconcile()
        for invariant in all_invariants():
            found = [finding for finding in findings if finding.invariant == invariant.name]
            self.stdout.write(f"{invariant.name} {'BROKEN' if found else 'holds'}: {invariant.says}")
            for finding in found:
                self.stdout.write(f"  {finding.subject}: {finding.detail}")
        if findings:
            raise CommandError(f"{len(findings)} finding(s); mend them by transfers that compensate, never by SQL")
