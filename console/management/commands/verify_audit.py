"""Recomputes the audit chains: `manage.py verify_audit [slug ...]`. Ends with 1 when one does not fit."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import audit
from accounts.models import Organization

OPERATOR = "(operator)"


class Command(BaseCommand):
    help = "Verifies the chains of audit events: the operator's and all organisations', deleted ones too; or some."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slugs", nargs="*", metavar="slug")

    def handle(self, *args: Any, slugs: list[str], **options: Any) -> None:
        broken = 0
        for organization in (*([] if slugs else [None]), *self._organizations(slugs)):
            report = audit.verify(organization)
            broken += not report.ok
            self.stdout.write(_line(organization.slug if organization else OPERATOR, report))
        if broken:
            raise CommandError(f"{broken} audit chain(s) were tampered with")

    def _organizations(self, slugs: list[str]) -> list[Organization]:
        organizations = list(Organization.objects.filter(slug__in=slugs) if slugs else Organization.objects.all())
        unknown = set(slugs) - {organization.slug for organization in organizations}
        if unknown:
            raise CommandError(f"no organisation has the slug {', '.join(sorted(unknown))}")
        return organizations


def _line(slug: str, report: audit.VerifyReport) -> str:
    if report.breach is None:
        return f"{slug}: verified, {report.events} events, head {report.head.hex()}"
    return f"{slug}: BROKEN at event {report.breach.sequence} ({report.breach.reason})"
