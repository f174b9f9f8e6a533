"""The frame of every change to an organisation: one transaction, one lock, one new version.

The lock on the organisation's row puts its changes one after the other, so that a check ("another owner is left")
still holds when the change is written, and so that the audit chain has no gaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from accounts import events
from accounts.errors import OrganizationGone
from accounts.models import Organization


@contextmanager
def changing(organization: Organization) -> Iterator[Organization]:
    """Yields the organisation as it is under the lock; read again inside what the change depends on.

    Raises:
        OrganizationGone: it is deleted.
    """
    with transaction.atomic():
        yield locked(organization.pk)
        events.bump(organization)


def locked(org_id: int) -> Organization:
    """NO KEY UPDATE: rows that merely refer to the organisation can still be written meanwhile."""
    rows = Organization.objects.select_for_update(no_key=True).filter(deleted_at=None)
    try:
        return rows.get(pk=org_id)
    except Organization.DoesNotExist:
        raise OrganizationGone from None
