"""What Celery runs for earnings."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from accounts.models import Organization
from billing.earnings import cases, exposure, maturity

logger = logging.getLogger(__name__)


@shared_task(name="earnings.mature")
def mature() -> None:
    now = timezone.now()
    for organization in Organization.objects.filter(pk__in=maturity.owners_with_ripe_lots(now)):
        if nanos := maturity.mature(organization, now):
            logger.info("earnings: %d nano-USD of %s matured", nanos, organization.public_id)


@shared_task(name="earnings.look_into_doubts")
def look_into_doubts() -> None:
    now = timezone.now()
    opened, upheld = cases.look(now), cases.uphold_unanswered(now)
    if opened or upheld:
        logger.warning("earnings: %d cases opened, %d upheld without an answer", opened, upheld)


@shared_task(name="earnings.set_exposure")
def set_exposure() -> None:
    exposure.refresh(timezone.now())
