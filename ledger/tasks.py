"""What Celery runs for the ledger."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings
from django.db import connection, transaction

from ledger import leases, proofs

logger = logging.getLogger(__name__)


@shared_task(name="ledger.reconcile", time_limit=settings.RECONCILE_LIMIT_S)
def reconcile() -> None:
    proofs.prove()


@shared_task(name="ledger.reap_leases")
def reap_leases() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for lessee in leases.reap(cursor):
            logger.warning("ledger: reaped the leases of %s", lessee)
