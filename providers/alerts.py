"""Alerts: what the admins of a connection are told of at once, and when it is over.

Raised and resolved in the transaction of what they tell; mailed by Celery, each to every admin once, and not again
for the same trouble within an hour. Admins of the platform's own connections are its staff.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from smtplib import SMTPException

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import mail
from accounts.models import Membership, Organization, User
from accounts.roles import GRANTS, Permission
from common.ids import new_id
from providers.models import Alert, Connection, ConnectionKey

QUIET = timedelta(hours=1)
MOST_AT_ONCE = 50
TOLD = [role for role, grants in GRANTS.items() if Permission.MANAGE_PROVIDERS in grants]

logger = logging.getLogger(__name__)


def raise_alert(connection: Connection, kind: str, *, subject: str = "", label: str = "", reason: str = "") -> None:
    """Nothing happens when it is raised already."""
    alert = Alert(
        org_id=connection.org_id,
        public_id=new_id("alert"),
        connection=connection,
        kind=kind,
        subject=subject,
        label=label[:120],
        reason=reason[:40],
    )
    Alert.objects.bulk_create([alert], ignore_conflicts=True)


def resolve_alerts(connection: Connection, kind: str, *, subject: str = "") -> None:
    """Nothing happens when there is none."""
    rows = Alert.objects.filter(connection=connection, kind=kind, subject=subject, resolved_at=None)
    rows.update(resolved_at=timezone.now())


def alerts_of(organization: Organization) -> QuerySet[Alert]:
    """Also those that are over."""
    return Alert.objects.of(organization).select_related("connection")


def open_alerts(organization: Organization, *, of_platform: bool = False) -> QuerySet[Alert]:
    """Newest first; those of the platform's connections for its staff only."""
    mine = Q(org=organization) | Q(org=None) if of_platform else Q(org=organization)
    rows = Alert.objects.filter(mine, resolved_at=None, connection__enabled=True)
    return rows.select_related("connection").order_by("-raised_at")


def mail_alerts() -> int:
    """Tells the admins of what is new. Any number of these may run at once; each alert is mailed by one of them.

    Returns:
        How many e-mails left.

    Fails: a mail server that is away keeps its alerts waiting for the next time.
    """
    with transaction.atomic():
        new = Alert.objects.select_for_update(skip_locked=True, of=("self",)).select_related("connection__org")
        alerts = list(new.filter(mailed_at=None, resolved_at=None, connection__enabled=True)[:MOST_AT_ONCE])
        told = {alert.pk for alert in alerts if _was_told_lately(alert)}
        Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(mailed_at=timezone.now())
    return sum(_mail(alert) for alert in alerts if alert.pk not in told)


def _was_told_lately(alert: Alert) -> bool:
    same = Alert.objects.filter(connection=alert.connection_id, kind=alert.kind, subject=alert.subject)
    return same.exclude(pk=alert.pk).filter(mailed_at__gt=alert.raised_at - QUIET).exists()


def _mail(alert: Alert) -> int:
    sent = 0
    for admin in admins_of(alert.connection):
        try:
            mail.send(mail.Message("provider_alert", admin.email, admin.language, _told(alert)))
        except (OSError, SMTPException):
            logger.exception("alert %s could not be mailed", alert.public_id)
            if not sent:  # nobody heard of it yet
                Alert.objects.filter(pk=alert.pk).update(mailed_at=None)
            break
        sent += 1
    return sent


def admins_of(connection: Connection) -> list[User]:
    """Who may change it, as long as they may sign in."""
    if connection.org_id is None:
        return list(User.objects.filter(is_staff=True, is_active=True).order_by("pk"))
    members = Membership.objects.filter(org=connection.org_id, role__in=TOLD, user__is_active=True)
    return [member.user for member in members.select_related("user").order_by("pk")]


def _told(alert: Alert) -> dict[str, object]:
    left = alert.connection.keys.filter(state=ConnectionKey.ACTIVE).count()
    return {
        "kind": alert.kind,
        "provider": alert.connection.name,
        "organization": alert.connection.org.name if alert.connection.org else "ShareAI",
        "key": alert.label,
        "keys_left": left,
        "raised_at": alert.raised_at,
        "url": f"{settings.PUBLIC_URL}/providers/{alert.connection.public_id}",
    }
