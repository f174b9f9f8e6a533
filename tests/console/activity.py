"""Things of Activity that tests want to be there."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, timedelta

from django.utils import timezone

from accounts.audit import Actor
from accounts.models import Organization
from billing.models import MonthlyStatement
from billing.monthly import AccountMonth, Correction, Document, Movement, Used
from common.ids import new_id
from metering import exports
from metering.models import UsageExport
from metering.reports import Narrowed


def export_of(organization: Organization, actor: Actor, format: str = "csv", **narrowed: str) -> UsageExport:
    """Of the last day."""
    now = timezone.now()
    return exports.begin(organization, actor, now - timedelta(days=1), now, format, Narrowed(**narrowed))


def statement_of(organization: Organization, target: str = "upstream/fast") -> MonthlyStatement:
    """$10 in, $2 used, and a price that was put right."""
    movements = (Movement("rerating", 1, 5), Movement("settlement", 3, -2_000_000_000), Movement("credit", 1, 10**10))
    document = Document(
        (AccountMonth("wallet", 7, movements, 8_000_000_012),),
        (Used(target, 4, 1000, 200, 2_000_000_000),),
        (Correction("2026-09", 2, -5),),
    )
    return MonthlyStatement.objects.create(
        org=organization,
        public_id=new_id("stmt"),
        month=date(2026, 10, 1),
        zone="UTC",
        document=asdict(document),
        cuts={},
    )
