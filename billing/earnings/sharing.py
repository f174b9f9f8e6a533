"""The hand that settlement lends to earnings: accounts beforehand, drafts with its own, rows afterwards.

All of it happens in the transaction that records the usage. A batch without an owner who earns asks nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from billing.earnings.splitting import Choice, Split, split
from ledger import kinds
from ledger.accounts import AccountIds, Wanted
from ledger.drafts import Draft
from ledger.posting import Cursor

if TYPE_CHECKING:
    from billing.settlement import Part

EXCHANGE, DONATION = "exchange", "donation"
READ = """
SELECT p.org_id, p.exchanged_percent, p.donated_percent, c.id, h.weight FROM earnings_programme p
LEFT JOIN earnings_causechoice h ON h.programme_id = p.id
LEFT JOIN earnings_cause c ON c.id = h.cause_id AND c.closed_at IS NULL
WHERE p.org_id = ANY(%s) ORDER BY p.org_id, c.id
"""
OPEN_CAUSES = """
INSERT INTO ledger_account (kind, org_id, is_prepaid, currency, reference, balance, held)
SELECT %s, NULL, true, %s, w, 0, 0 FROM unnest(%s::text[]) AS w ON CONFLICT DO NOTHING
"""
FIND_CAUSES = """
SELECT reference, id FROM ledger_account
WHERE kind = %s AND org_id IS NULL AND currency = %s AND reference = ANY(%s)
"""
KEEP_LOTS = """
INSERT INTO earnings_lot (org_id, target_id, day, requests, input_tokens, output_tokens, paid, earned, escrow,
    exchanged, donated)
SELECT n.org_id, n.target_id, (t.posted_at AT TIME ZONE 'UTC')::date, n.requests, n.input_tokens, n.output_tokens,
    n.paid, n.earned, n.escrow, n.exchanged, n.donated
FROM (
    SELECT org_id, target_id, max(transfer_id) AS transfer_id, sum(requests)::bigint AS requests,
        sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
        sum(paid)::bigint AS paid, sum(earned)::bigint AS earned, sum(escrow)::bigint AS escrow,
        sum(exchanged)::bigint AS exchanged, sum(donated)::bigint AS donated
    FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
        %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]) AS w (org_id, target_id, transfer_id, requests,
        input_tokens, output_tokens, paid, earned, escrow, exchanged, donated)
    GROUP BY org_id, target_id
) n JOIN ledger_transfer t ON t.id = n.transfer_id ORDER BY 1, 2
ON CONFLICT (org_id, target_id, day) DO UPDATE SET
    requests = earnings_lot.requests + excluded.requests,
    input_tokens = earnings_lot.input_tokens + excluded.input_tokens,
    output_tokens = earnings_lot.output_tokens + excluded.output_tokens,
    paid = earnings_lot.paid + excluded.paid, earned = earnings_lot.earned + excluded.earned,
    escrow = earnings_lot.escrow + excluded.escrow, exchanged = earnings_lot.exchanged + excluded.exchanged,
    donated = earnings_lot.donated + excluded.donated
RETURNING id, org_id, target_id
"""
KEEP_DONATIONS = """
INSERT INTO earnings_donation (lot_id, cause_id, nanos)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[])
ON CONFLICT (lot_id, cause_id) DO UPDATE SET nanos = earnings_donation.nanos + excluded.nanos
"""

Key = tuple[int, int]
"""An owner and its target."""


class Sharing:
    """Of one settler. What owners chose is read anew for each batch."""

    def __init__(self) -> None:
        self._ids = AccountIds()
        self._choices: dict[int, Choice] = {}

    def accounts(self, cursor: Cursor, owners: Collection[int]) -> dict[Wanted, int]:
        """Where these owners' shares may go besides the escrow; a cause's by its id instead of an owner's."""
        if not owners:
            return {}
        self._choices = choices_of(cursor, owners)
        swappers = [org for org, choice in self._choices.items() if choice.exchanged_percent]
        ids = self._ids.ensure(cursor, [(kinds.TOKENS, org) for org in swappers])
        causes = {cause for choice in self._choices.values() for cause, _ in choice.causes}
        return ids | {(kinds.NGO_PAYABLE, cause): id for cause, id in cause_accounts(cursor, causes).items()}

    def drafts(self, settlement: str, parts: Iterable[Part], ids: Mapping[Wanted, int]) -> list[Draft]:
        """What goes on from the escrow at once: to tokens by one transfer, to causes by another. Posted after the
        settlement that fills it: drafts are posted in the order of their ids, and `split:` comes after `settlement:`.
        """
        moves: defaultdict[tuple[int, str], Counter[int]] = defaultdict(Counter)
        for part in parts:
            if part.owner and part.owner_id in self._choices:
                divided, owner = self._split(part), part.owner_id
                if divided.exchanged:
                    moves[owner, EXCHANGE][ids[kinds.TOKENS, owner]] += divided.exchanged
                for cause, nanos in divided.donated.items():
                    moves[owner, DONATION][ids[kinds.NGO_PAYABLE, cause]] += nanos
        return [
            Draft(
                f"split:{settlement}:{owner}:{kind}",
                kind,
                {ids[kinds.REWARDS_ESCROW, owner]: -onward.total(), **onward},
            )
            for (owner, kind), onward in moves.items()
        ]

    def keep(self, cursor: Cursor, posted: Iterable[tuple[int, Sequence[Part]]]) -> None:
        """Adds the parts, given with the id of their transfer, to their lots."""
        rows: list[tuple[int, ...]] = []
        given: defaultdict[tuple[Key, int], int] = defaultdict(int)
        for transfer_id, parts in posted:
            for part in parts:
                if part.owner_id and part.used.target_id is not None:
                    divided = self._split(part)
                    key = part.owner_id, part.used.target_id
                    rows.append((*key, transfer_id, *_figures(part, divided)))
                    for cause, nanos in divided.donated.items():
                        given[key, cause] += nanos
        if not rows:
            return
        cursor.execute(KEEP_LOTS, [list(column) for column in zip(*rows, strict=True)])
        lots = {(org_id, target_id): id for id, org_id, target_id in cursor.fetchall()}
        if given:
            columns = zip(*sorted((lots[key], cause, nanos) for (key, cause), nanos in given.items()), strict=True)
            cursor.execute(KEEP_DONATIONS, [list(column) for column in columns])

    def _split(self, part: Part) -> Split:
        return split(part.owner, self._choices.get(part.owner_id, Choice()))


def choices_of(cursor: Cursor, owners: Collection[int]) -> dict[int, Choice]:
    """Of those who chose anything."""
    cursor.execute(READ, (list(owners),))
    found: dict[int, Choice] = {}
    for org_id, exchanged, donated, cause, weight in cursor.fetchall():
        earlier = found.get(org_id, Choice()).causes
        found[org_id] = Choice(exchanged, donated, earlier if cause is None else (*earlier, (cause, weight)))
    return found


def cause_accounts(cursor: Cursor, causes: Collection[int]) -> dict[int, int]:
    """By the id of the cause; opened if they are not there yet."""
    wanted = [str(cause) for cause in sorted(causes)]
    found = _found(cursor, wanted)
    missing = [reference for reference in wanted if int(reference) not in found]
    if missing:
        cursor.execute(OPEN_CAUSES, (kinds.NGO_PAYABLE, kinds.USD, missing))
        found |= _found(cursor, missing)
    return found


def _found(cursor: Cursor, references: list[str]) -> dict[int, int]:
    if not references:
        return {}
    cursor.execute(FIND_CAUSES, (kinds.NGO_PAYABLE, kinds.USD, references))
    return {int(reference): id for reference, id in cursor.fetchall()}


def _figures(part: Part, divided: Split) -> tuple[int, ...]:
    used, paid = part.used, part.charge - part.written_off
    donated = sum(divided.donated.values())
    return 1, used.input_tokens, used.output_tokens, paid, part.owner, divided.escrow, divided.exchanged, donated
