"""Sets money aside for one purpose, then uses it or lets it go: exactly once, whatever is repeated."""

from __future__ import annotations

from django.db import connection, transaction

from common.money import MAX_NANOS
from ledger.drafts import Draft
from ledger.errors import BusinessIdReused, HoldEnded, InvalidTransfer, NotCovered
from ledger.models import CAPTURED, RELEASED, RESERVED, Hold
from ledger.posting import Posted, Release, post_all

RESERVE = """
UPDATE ledger_account SET held = held + %s
WHERE id = %s AND (NOT is_prepaid OR balance - held >= %s::bigint)
"""
LET_GO = "UPDATE ledger_account SET held = held - %s WHERE id = %s"


def reserve(business_id: str, account_id: int, amount: int) -> Hold:
    """Raises: NotCovered: less is free. BusinessIdReused: the id stands for another hold. InvalidTransfer."""
    if type(amount) is not int or not 0 < amount <= MAX_NANOS:
        raise InvalidTransfer("What is held is a whole number of units above zero, within 64 bits.")
    with transaction.atomic():
        hold, is_new = Hold.objects.get_or_create(
            business_id=business_id, defaults={"account_id": account_id, "amount": amount}
        )
        if (hold.account_id, hold.amount) != (account_id, amount):
            raise BusinessIdReused(metadata={"business_id": business_id})
        if is_new:
            with connection.cursor() as cursor:
                cursor.execute(RESERVE, (amount, account_id, amount))
                if cursor.rowcount == 0:
                    raise NotCovered(account_id, amount)
        return hold


def capture(business_id: str, draft: Draft) -> Posted:
    """Ends the hold by a transfer that takes at most what is held from its account; the rest is free again.

    Raises: HoldEnded: released before, or captured by another transfer. InvalidTransfer: it would take more, or
        there is no such hold. NotCovered, BusinessIdReused: as `transfers.post`.
    """
    with transaction.atomic():
        hold = _locked(business_id)
        if hold.state == RELEASED:
            raise HoldEnded
        if not 0 <= -draft.moves.get(hold.account_id, 0) <= hold.amount:
            raise InvalidTransfer("The transfer takes more than was held.")
        freed = {hold.account_id: hold.amount} if hold.state == RESERVED else {}
        with connection.cursor() as cursor:
            posted = post_all(cursor, [draft], Release(freed.keys(), lambda _: freed))[0]
        if hold.state == RESERVED:
            _end(hold, CAPTURED, posted.id)
        elif hold.transfer_id != posted.id:
            raise HoldEnded
        return posted


def release(business_id: str) -> Hold:
    """Lets it go; releasing again changes nothing. Raises: HoldEnded: captured. InvalidTransfer: no such hold."""
    with transaction.atomic():
        hold = _locked(business_id)
        if hold.state == CAPTURED:
            raise HoldEnded
        if hold.state == RESERVED:
            with connection.cursor() as cursor:
                cursor.execute(LET_GO, (hold.amount, hold.account_id))
            _end(hold, RELEASED, None)
        return hold


def _locked(business_id: str) -> Hold:
    hold = Hold.objects.select_for_update(no_key=True).filter(business_id=business_id).first()
    if hold is None:
        raise InvalidTransfer("There is no such hold.")
    return hold


def _end(hold: Hold, state: str, transfer_id: int | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ledger_hold SET state = %s, transfer_id = %s, ended_at = now() WHERE id = %s RETURNING ended_at",
            (state, transfer_id, hold.pk),
        )
        (hold.ended_at,) = cursor.fetchone()
    hold.state, hold.transfer_id = state, transfer_id
