"""Charges requests anew, by another version of their target's price: differences only, by transfers of their own.

For what was sold: models of the platform's own connections, and of machines, whose owners get or lose their share of
the difference (`billing.earnings.corrections`). What a case gave back of them is corrected in the same breath.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from django.db import connection, transaction

from billing.earnings import corrections, givenback
from billing.earnings.corrections import OpenLot
from billing.errors import InvalidRerating
from billing.prices import PLATFORM, PriceBook, Rates
from billing.settlement import Part, cost_of, draft_of, keep
from billing.terms import Terms
from common.rates import TokenDetails
from ledger import kinds
from ledger.accounts import AccountIds, Wanted
from ledger.posting import lock_accounts, post_all
from metering import rollups

if TYPE_CHECKING:
    import psycopg

RERATING = "rerating"
AT_ONCE = 5_000
FIND = """
SELECT request_id, max(started_at)::text, max(org_id), max(target_id), max(input_tokens), max(cached_tokens),
       max(output_tokens), max(revision), sum(charge_nanos)::bigint, sum(written_off_nanos)::bigint,
       sum(provider_nanos)::bigint, sum(owner_nanos)::bigint, coalesce(max(owner_id), 0), min(transfer_id),
       (array_agg(token_details))[1]::text
FROM billing_charge
WHERE target_id = %s AND started_at >= %s AND started_at < %s AND request_id > %s
GROUP BY request_id HAVING (array_agg(price_version ORDER BY revision DESC))[1] <> %s
ORDER BY request_id LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Rerated:
    """`nanos`: what was charged in addition; negative for what was given back."""

    requests: int
    nanos: int


@dataclass(frozen=True, slots=True)
class Settled:
    """A request as its charges tell of it so far; `price_version` is the one that it is to have.

    `owner_id` is PLATFORM or the organisation of the machine, `settlement` the transfer that charged it first.
    """

    price_version: int
    request_id: str
    started_at: str
    org_id: int
    target_id: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    revision: int
    charge: int
    written_off: int
    provider: int
    owner: int
    owner_id: int
    settlement: int
    token_details: TokenDetails | None


def rerate(target_id: int, version: int, from_: datetime, until: datetime) -> Rerated:
    """Charges what the target served in [from_, until) by that version of its price. Repeating it changes nothing.

    Raises: InvalidRerating: there is no such price, or nothing of the target is sold.
    """
    total, after = Rerated(0, 0), ""
    while True:
        with transaction.atomic(), connection.cursor() as wrapper:
            cursor = wrapper.cursor
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('billing.rerating'))")
            rates = _rates(cursor, target_id, version)
            cursor.execute(FIND, (target_id, from_, until, after, version, AT_ONCE))
            found = [Settled(*(version, *row, _details(told))) for *row, told in cursor.fetchall()]
            if not found:
                return total
            after = found[-1].request_id
            changed = _post(cursor, found, rates)
            total = Rerated(total.requests + changed.requests, total.nanos + changed.nanos)


def _details(told: str | None) -> TokenDetails | None:
    return None if told is None else msgspec.json.decode(told, type=TokenDetails)


def _rates(cursor: psycopg.Cursor, target_id: int, version: int) -> Rates:
    book = PriceBook()
    rates = book.find(cursor, target_id, version)
    if rates is None:
        raise InvalidRerating
    return rates


def _post(cursor: psycopg.Cursor, found: Iterable[Settled], rates: Rates) -> Rerated:
    by_org: defaultdict[int, list[tuple[Settled, int]]] = defaultdict(list)
    for settled in found:
        nanos = cost_of(settled, rates)
        if nanos is not None and nanos != settled.charge:
            by_org[settled.org_id].append((settled, nanos))
    if not by_org:
        return Rerated(0, 0)
    changed = [settled for wanted in by_org.values() for settled, _ in wanted]
    if changed[0].owner_id != PLATFORM:  # all are of one target, hence of one owner
        givenback.lock_owner(changed[0].owner_id)
    ids = AccountIds().ensure(cursor, _accounts(changed))
    locked = lock_accounts(cursor, ids.values())
    lots = _lots_of(cursor, changed, ids)
    terms = Terms.from_settings()
    parts_of = {}
    for org_id, wanted in by_org.items():
        wallet = locked[ids[kinds.WALLET, org_id]]
        parts_of[org_id] = _parts(wanted, max(0, wallet.balance - wallet.held), terms, lots)
    with _lots_kept(cursor, {lot.id: lot for lot in lots.values()}.values(), ids):
        for org_id, parts in parts_of.items():
            first = parts[0]
            draft = draft_of(f"{RERATING}:{first.revision}:{first.used.request_id}", RERATING, org_id, parts, ids)
            keep(cursor, [(transfer.id, parts) for transfer in post_all(cursor, [draft])])
            paid = [(part.used.started_at, part.charge - part.written_off) for part in parts]
            rollups.charged_otherwise(cursor, org_id, paid)
    every = [part for parts in parts_of.values() for part in parts]
    return Rerated(len(every), sum(part.charge for part in every))


@contextmanager
def _lots_kept(cursor: psycopg.Cursor, lots: Collection[OpenLot], ids: Mapping[Wanted, int]) -> Iterator[None]:
    """Around the postings of a correction: what cases of these lots gave back is posted before and after."""
    given = [(lot.case, lot.waiting) for lot in lots if lot.case is not None]
    escrow = next((id for (kind, _), id in ids.items() if kind == kinds.REWARDS_ESCROW), 0)
    before, after = givenback.drafts(given, ids, escrow)
    post_all(cursor, before)
    yield
    post_all(cursor, after)
    if lots:
        corrections.keep(cursor, lots)
    givenback.keep(given)


def _accounts(changed: Iterable[Settled]) -> set[Wanted]:
    wanted: set[Wanted] = {(kind, None) for kind in (kinds.REVENUE, kinds.PROVIDER_COST, kinds.WRITE_OFF)}
    for settled in changed:
        wanted.add((kinds.WALLET, settled.org_id))
        if settled.owner_id != PLATFORM:
            wanted.add((kinds.REWARDS_ESCROW, settled.owner_id))
    return wanted


def _lots_of(cursor: psycopg.Cursor, changed: Sequence[Settled], ids: Mapping[Wanted, int]) -> dict[int, OpenLot]:
    """By the settlement; none for a connection of the platform. All are of one target, hence of one owner."""
    first = changed[0]
    if first.owner_id == PLATFORM:
        return {}
    settlements = {settled.settlement for settled in changed}
    escrow = ids[kinds.REWARDS_ESCROW, first.owner_id]
    return corrections.lock_lots(cursor, first.owner_id, first.target_id, settlements, escrow)


def _parts(
    wanted: Iterable[tuple[Settled, int]], covered: int, terms: Terms, lots: Mapping[int, OpenLot]
) -> list[Part]:
    """The differences. What was written off is given back first, for nobody paid it."""
    parts = []
    for settled, nanos in wanted:
        more = nanos - settled.charge
        if more > 0:
            written_off = more - min(more, covered)
            covered -= more - written_off
        else:
            written_off = -min(settled.written_off, -more)
        part = Part(settled, settled.owner_id, more, written_off, revision=settled.revision + 1)
        if settled.owner_id == PLATFORM:
            part.provider = terms.provider_nanos(nanos) - settled.provider
        else:
            paid = more - written_off
            due = terms.owner_nanos(settled.charge - settled.written_off + paid)
            lot = lots[settled.settlement]
            part.owner = lot.correct(settled.org_id, settled.settlement, paid, due - settled.owner)
        parts.append(part)
    return parts
