"""Credits that the operator gives: a welcome, goodwill, a payment that came another way; and credit, to pay later."""

from __future__ import annotations

from django.db import connection, transaction

from accounts import audit
from accounts.audit import Actor
from accounts.models import Organization
from common.money import format_usd
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.errors import InvalidTransfer
from ledger.posting import Posted, lock_accounts
from ledger.transfers import post

CREDIT, LIMIT = "credit", "credit_limit"


def give(organization: Organization, actor: Actor, nanos: int, *, purpose: str, reason: str) -> Posted:
    """Gives so much, once for each purpose; negative takes back, at most what is there.

    Args:
        purpose: names the gift, `welcome` or the number of a bank transfer; giving it again changes nothing.

    Raises: BusinessIdReused: another amount or reason was given for this purpose. InvalidTransfer. NotCovered.
    """
    wallet, promo = ensure_account(kinds.WALLET, organization), ensure_account(kinds.PROMO)
    moves = {promo.pk: -nanos, wallet.pk: nanos}
    draft = Draft(name_of(organization.public_id, purpose), CREDIT, moves, reason=reason)
    with transaction.atomic():
        posted = post(draft)
        if posted.is_new:
            about = {"amount_usd": format_usd(nanos), "purpose": purpose, "reason": reason}
            audit.record(organization, actor, "billing.credit_given", "wallet", organization.public_id, after=about)
    return posted


def name_of(public_id: str, purpose: str) -> str:
    """The business id of what an organisation is given for a purpose."""
    return f"{CREDIT}:{public_id}:{purpose}"


def set_limit(organization: Organization, actor: Actor, nanos: int, *, reason: str) -> int:
    """Lets the organisation spend so much before it pays; 0 for none.

    What it may spend lies in its wallet and is owed to `credit_line`, so that requests are admitted as with any other
    money. What is spent already stays owed until credits are given for what was paid.

    Returns:
        The limit before.

    Raises:
        NotCovered: more than the new limit is spent or held. InvalidTransfer: it is negative or too much.
    """
    if nanos < 0:
        raise InvalidTransfer("A credit limit is not negative.")
    wallet = ensure_account(kinds.WALLET, organization)
    line = ensure_account(kinds.CREDIT_LINE, reference=organization.public_id)
    with transaction.atomic():
        with connection.cursor() as cursor:
            before = -lock_accounts(cursor, [wallet.pk, line.pk])[line.pk].balance
        if nanos != before:
            moves = {line.pk: before - nanos, wallet.pk: nanos - before}
            number = line.entries.count()
            post(Draft(f"{LIMIT}:{organization.public_id}:{number}", LIMIT, moves, reason=reason))
            change = {"limit_usd": format_usd(before)}, {"limit_usd": format_usd(nanos)}
            about = (organization, actor, "billing.credit_limit_set", "wallet", organization.public_id)
            audit.record(*about, before=change[0], after=change[1])
    return before
