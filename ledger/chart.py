"""Opens accounts, and finds them again."""

from __future__ import annotations

from accounts.models import Organization
from ledger import kinds
from ledger.errors import InvalidTransfer
from ledger.models import Account


def ensure_account(
    kind: str, organization: Organization | None = None, *, currency: str = kinds.USD, reference: str = ""
) -> Account:
    """The one account of this kind, owner, currency and reference; opened if it is not there yet.

    Raises: InvalidTransfer: for a kind that there is not, or that does not belong to such an owner.
    """
    if kind not in (kinds.OF_PLATFORM if organization is None else kinds.OF_ORGANIZATIONS):
        raise InvalidTransfer(f"There is no account {kind!r} of such an owner.")
    account, _ = Account.objects.get_or_create(
        org=organization,
        kind=kind,
        currency=currency,
        reference=reference,
        defaults={"is_prepaid": kind in kinds.PREPAID},
    )
    return account
