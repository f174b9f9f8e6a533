"""Posts transfers and takes them back, each in a transaction of its own or in the one around it."""

from __future__ import annotations

from django.db import connection, transaction

from ledger.drafts import Draft
from ledger.errors import InvalidTransfer, NotReversible
from ledger.models import Transfer
from ledger.posting import Posted, post_all

REVERSAL = "reversal"


def post(draft: Draft) -> Posted:
    """Moves the money once; a replay returns the transfer that is there.

    Raises: BusinessIdReused, InvalidTransfer, NotCovered: nothing has moved.
    Fails: closed: without PostgreSQL nothing moves.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        return post_all(cursor, [draft])[0]


def reverse(business_id: str, reason: str) -> Posted:
    """Posts the opposite of a transfer, once; it is the only way to mend one.

    Raises: InvalidTransfer: there is no such transfer. NotReversible: it is a reversal, or was reversed for another
        reason. NotCovered: what it brought was spent meanwhile.
    """
    with transaction.atomic():
        # Whoever reverses it at the same time waits here, and then finds it reversed.
        original = Transfer.objects.select_for_update(no_key=True).filter(business_id=business_id).first()
        if original is None:
            raise InvalidTransfer("There is no such transfer.")
        if original.kind == REVERSAL:
            raise NotReversible
        earlier = Transfer.objects.filter(reverses=original).first()
        if earlier is not None and earlier.reason != reason:
            raise NotReversible
        return post(_opposite(original, reason))


def _opposite(original: Transfer, reason: str) -> Draft:
    # Nothing but the digest names the original, whose own id may be as long as an id can be.
    return Draft(
        business_id=f"reversal:{original.pk}",
        kind=REVERSAL,
        moves={entry.account_id: -entry.amount for entry in original.entries.all()},
        price_version=original.price_version,
        reason=reason,
        reverses_id=original.pk,
    )
