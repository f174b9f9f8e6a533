"""A case that gave back, and a price that is put right afterwards: it then gives back what it would at that price.

The correction of the price gives a payer back, or takes, the whole difference, as if there had been no case. Of that
difference the case has given its share back already: this much returns, of the payers and of the owner's escrow. Each
time by two transfers, told apart because the escrow may have to be filled before and payers can pay only afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from django.db.models import F, Sum

from accounts import audit
from accounts.audit import Actor
from accounts.models import Organization
from billing.earnings.cases import share_given_back
from billing.earnings.clawback import CLAWBACK, paid_by, part_of
from billing.earnings.models import Case
from common.money import format_usd
from ledger import kinds
from ledger.accounts import Wanted
from ledger.drafts import Draft
from ledger.models import Entry
from ledger.posting import Cursor

OWNER, PAYERS = "owner", "payers"
CORRECTED = "earnings.case_corrected"
OPERATOR = Actor.system("operator")
"""Who puts prices right: by a command, whose own event says which price."""


@dataclass(slots=True)
class GivenBack:
    """What a case took of the escrow and gave to whom, before and by the corrections noted here. Nano-USD."""

    case: Case
    share: Fraction
    base: int
    """Of this its share was taken from the escrow."""
    taken: int
    paid: Mapping[int, int]
    paid_more: Counter[int] = field(default_factory=Counter)
    base_more: int = 0

    def note(self, payer: int, settlement: int, paid: int, owner: int) -> None:
        """Requests that were settled after the verdict are no part of it."""
        if self.case.transfer_id is not None and settlement < self.case.transfer_id:
            self.paid_more[payer] += paid
            self.base_more += owner

    def taken_more(self, waiting: int) -> int:
        """Of the escrow, negative for less; no more than there is, with what was taken before."""
        more = part_of(self.base + self.base_more, self.share) - part_of(self.base, self.share)
        return min(max(self.taken + more, 0), waiting) - self.taken

    def refunded_more(self) -> dict[int, int]:
        """By payer; negative for what returns."""
        found = {}
        for payer, more in self.paid_more.items():
            before = self.paid.get(payer, 0)
            found[payer] = part_of(before + more, self.share) - part_of(before, self.share)
        return {payer: nanos for payer, nanos in found.items() if nanos}


def lock_cases(cursor: Cursor, lots: Collection[int], escrow: int) -> dict[int, GivenBack]:
    """Of these lots, those that gave back, by the lot. Args: escrow: the owner's account."""
    upheld = Case.objects.filter(lot__in=lots, state=Case.UPHELD, transfer_id__isnull=False)
    found = {}
    for case in upheld.select_for_update(of=("self",)).select_related("lot", "org").order_by("pk"):
        entries = Entry.objects.filter(account=escrow, transfer__business_id__in=_names(case))
        taken = -(entries.aggregate(nanos=Sum("amount"))["nanos"] or 0)
        base = case.lot.escrow - case.lot.taken_escrow + taken
        paid = paid_by(cursor, case.lot, until=case.transfer_id or 0)
        found[case.lot_id] = GivenBack(case, share_given_back(case), base, taken, paid)
    return found


def drafts(
    changed: Iterable[tuple[GivenBack, int]], ids: Mapping[Wanted, int], escrow: int
) -> tuple[list[Draft], list[Draft]]:
    """What is posted before the correction of the price, and after it. Args: changed: with what waits at its end."""
    before: list[Draft] = []
    after: list[Draft] = []
    for given, waiting in changed:
        taken = given.taken_more(waiting)
        if taken:
            draft = _draft(given.case, OWNER, {escrow: -taken}, ids)
            (after if taken > 0 else before).append(draft)
        if refunds := given.refunded_more():
            moves = {ids[kinds.WALLET, payer]: nanos for payer, nanos in refunds.items()}
            after.append(_draft(given.case, PAYERS, moves, ids))
    return before, after


def keep(changed: Iterable[tuple[GivenBack, int]]) -> None:
    for given, waiting in changed:
        taken, refunded = given.taken_more(waiting), sum(given.refunded_more().values())
        if taken or given.refunded_more():
            Case.objects.filter(pk=given.case.pk).update(
                taken=F("taken") + taken, refunded=F("refunded") + refunded, corrections=F("corrections") + 1
            )
            _note(given.case, taken, refunded)


def lock_owner(owner_id: int) -> None:
    """Whose trail a correction goes into: before the accounts, as whoever decides a case locks them."""
    Organization.objects.select_for_update(no_key=True).get(pk=owner_id)


def _note(case: Case, taken: int, refunded: int) -> None:
    """In the trail of the machine's owner, from whom it was taken, and in the operator's, who corrected it."""
    before = {"taken_usd": format_usd(case.taken), "refunded_usd": format_usd(case.refunded)}
    after = {"taken_usd": format_usd(case.taken + taken), "refunded_usd": format_usd(case.refunded + refunded)}
    about = (OPERATOR, CORRECTED, "earnings_case", case.public_id)
    audit.record(case.org, *about, before=before, after=after)
    audit.record(None, *about, label=case.org.name, before=before, after=after)


def _draft(case: Case, whose: str, moves: dict[int, int], ids: Mapping[Wanted, int]) -> Draft:
    total = sum(moves.values())
    if total:
        moves = moves | {ids[kinds.REVENUE, None]: -total}
    name = _name(case, case.corrections + 1, whose)
    return Draft(name, CLAWBACK, moves, reason=f"Case {case.public_id}, at another price")


def _name(case: Case, number: int, whose: str) -> str:
    return f"{CLAWBACK}:{case.public_id}:{number}:{whose}"


def _names(case: Case) -> list[str]:
    """Of all its transfers."""
    numbers = range(1, case.corrections + 1)
    return [f"{CLAWBACK}:{case.public_id}", *(_name(case, n, whose) for n in numbers for whose in (OWNER, PAYERS))]
