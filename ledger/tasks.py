"""What Celery runs for the ledger."""

from __future__ import annotations

import logging

from celery import shared_task
from django.db import connection, transaction

from ledger import invariants, leases

logger = logging.getLogger(__name__)


@shared_task(name="ledger.reconcile")
def reconcile() -> None:
    for finding in invariants.reconcile():
        logger.error("ledger: %s does not hold for %s: %s", finding.invariant, finding.subject, finding.detail)


@shared_task(name="ledger.reap_leases")
def reap_leases() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for lessee in leases.reap(cursor):
            logger.warning("ledger: reaped the leases of %s", lessee)
