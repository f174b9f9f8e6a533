"""What a batch of usage costs, posted in the transaction that records it.

    usage ─► price of its version ─► charge ─► wallet −           what it covers, the rest is written off
                                            ├─► provider_cost +   on the platform's own connections
                                            ├─► rewards_escrow +  on somebody else's machine: the owner's share,
                                            │                     and on from there (billing.earnings)
                                            └─► revenue +         what is left of it

Own connections and own machines cost their owner nothing. A batch makes one transfer per organisation; each request
has its `Charge`, which says what of the transfer is its; one that several targets answered has one for each. A
request is settled once because its usage is recorded once. Usage that cannot be true, and usage without a price,
charges nobody and is kept as `Unsettled`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from billing.earnings.sharing import Sharing
from billing.prices import NOT_SOLD, PLATFORM, PriceBook, Rates
from billing.shares import shares_of
from billing.terms import Terms
from common.money import NANOS_PER_USD, TokenCounts, request_cost_nanos
from ledger import kinds
from ledger.accounts import AccountIds, Wanted
from ledger.drafts import Draft
from ledger.posting import Posted, Release, lock_accounts, post_all
from metering.usage import UsageRecord

if TYPE_CHECKING:
    import psycopg

SETTLEMENT = "settlement"
PRICE_UNKNOWN, IMPLAUSIBLE = "price_unknown", "implausible_usage"
FREE = frozenset({"no_charge_error", "cached"})
"""Billing reasons for which nothing is charged: no output, or an answer that was kept."""
MOST_TOKENS = 1_000_000_000
MOST_NANOS = 1_000_000 * NANOS_PER_USD
"""No request uses more, or costs more."""

COPY_CHARGES = """
COPY billing_charge (request_id, revision, started_at, org_id, target_id, price_version, input_tokens, cached_tokens,
    output_tokens, charge_nanos, written_off_nanos, provider_nanos, owner_nanos, owner_id, transfer_id) FROM STDIN
"""
NOTE_UNSETTLED = """
INSERT INTO billing_unsettled (request_id, started_at, org_id, target_id, price_version, reason)
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


class Used(TokenCounts, Protocol):
    """What a charge says of its request: a usage record, or what an earlier charge said."""

    @property
    def request_id(self) -> str: ...
    @property
    def started_at(self) -> str: ...
    @property
    def org_id(self) -> int: ...
    @property
    def target_id(self) -> int | None: ...
    @property
    def price_version(self) -> int | None: ...


@dataclass(slots=True)
class Part:
    """One request's charge, and how it is divided. `owner_id` is PLATFORM or the organisation of the machine."""

    used: Used
    owner_id: int
    charge: int
    written_off: int = 0
    provider: int = 0
    owner: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Bill:
    """What a batch comes to: transfers to post, and the parts of each by its business id."""

    drafts: Sequence[Draft]
    parts: Mapping[str, Sequence[Part]]


class Settler:
    """Of one recorder: it remembers prices and accounts, which do not change."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._book = PriceBook()
        self._accounts = AccountIds()
        self._sharing = Sharing()

    def __call__(self, cursor: psycopg.Cursor, records: Sequence[UsageRecord]) -> None:
        self.settle(cursor, records)

    def settle(self, cursor: psycopg.Cursor, records: Sequence[UsageRecord], release: Release | None = None) -> None:
        """Posts what the records cost; `release` ends what was held for them, in the same breath.

        Args:
            records: of which none was settled before; the caller's transaction records them as well.
        """
        bill = self.bill(cursor, records)
        if bill.drafts or release:
            self.keep(cursor, bill, post_all(cursor, bill.drafts, release))

    def bill(
        self, cursor: psycopg.Cursor, records: Sequence[UsageRecord], freed: Mapping[int, int] | None = None
    ) -> Bill:
        """Prices the records and divides what they cost. Locks the accounts that the drafts move.

        Args:
            freed: by account, what is held for these records and will be released as the drafts are posted.
        """
        by_org: defaultdict[int, list[Part]] = defaultdict(list)
        for record in self._sold(cursor, list(shares_of(records))):
            part = self._priced(cursor, record)
            if part is not None and part.charge:
                by_org[record.org_id].append(part)
        if not by_org:
            return Bill((), {})
        ids = self._accounts_of(cursor, by_org)
        locked = lock_accounts(cursor, ids.values())
        parts: dict[str, Sequence[Part]] = {}
        drafts = []
        for org_id, charged in by_org.items():
            wallet = locked[ids[kinds.WALLET, org_id]]
            covered = max(0, wallet.balance - wallet.held + (freed or {}).get(wallet.id, 0))
            self._divide(charged, covered)
            first = min(part.used.request_id for part in charged)
            draft = draft_of(f"{SETTLEMENT}:{first}", SETTLEMENT, org_id, charged, ids)
            drafts += [draft, *self._sharing.drafts(draft.business_id, charged, ids)]
            parts[draft.business_id] = charged
        return Bill(drafts, parts)

    def keep(self, cursor: psycopg.Cursor, bill: Bill, posted: Iterable[Posted]) -> None:
        """Writes down what of each transfer is which request's."""
        charged = [(transfer.id, bill.parts.get(transfer.business_id, ())) for transfer in posted]
        keep(cursor, charged)
        self._sharing.keep(cursor, charged)

    def _sold(self, cursor: psycopg.Cursor, records: Sequence[UsageRecord]) -> list[UsageRecord]:
        """Those for which somebody else than the caller is to be paid."""
        owners = self._book.owners
        unread = {r.target_id for r in records if r.target_id is not None and r.target_id not in owners}
        if unread:
            self._book.read(cursor, unread)
        sold = []
        for record in records:
            if record.target_id is None or record.billing_reason in FREE:
                continue
            owner = owners[record.target_id]
            if owner != NOT_SOLD and owner != record.org_id:
                sold.append(record)
        return sold

    def _priced(self, cursor: psycopg.Cursor, record: UsageRecord) -> Part | None:
        assert record.target_id is not None
        rates = self._book.find(cursor, record.target_id, record.price_version)
        charge = None if rates is None else cost_of(record, rates)
        if charge is None:
            _note_unsettled(cursor, record, PRICE_UNKNOWN if rates is None else IMPLAUSIBLE)
            return None
        return Part(record, self._book.owners[record.target_id], charge)

    def _accounts_of(self, cursor: psycopg.Cursor, by_org: Mapping[int, Sequence[Part]]) -> dict[Wanted, int]:
        owners = {part.owner_id for parts in by_org.values() for part in parts} - {PLATFORM}
        wanted: list[Wanted] = [(kinds.WALLET, org_id) for org_id in by_org]
        wanted += [(kinds.REWARDS_ESCROW, owner) for owner in owners]
        wanted += [(kind, None) for kind in (kinds.REVENUE, kinds.PROVIDER_COST, kinds.WRITE_OFF)]
        return self._accounts.ensure(cursor, wanted) | self._sharing.accounts(cursor, owners)

    def _divide(self, parts: Iterable[Part], covered: int) -> None:
        """The owner of a machine gets a share of what was paid; a provider is owed its price in any case."""
        for part in parts:
            paid = min(part.charge, covered)
            covered -= paid
            part.written_off = part.charge - paid
            if part.owner_id == PLATFORM:
                part.provider = self._terms.provider_nanos(part.charge)
            else:
                part.owner = self._terms.owner_nanos(paid)


def settler() -> Settler:
    """As the recorder's hook, by the operator's terms."""
    return Settler(Terms.from_settings())


def cost_of(used: Used, rates: Rates) -> int | None:
    """In nano-USD. None: such usage cannot be true."""
    counts = (used.input_tokens, used.cached_tokens, used.output_tokens)
    if not all(0 <= count <= MOST_TOKENS for count in counts) or used.cached_tokens > used.input_tokens:
        return None
    nanos = request_cost_nanos(used, rates)
    return nanos if nanos <= MOST_NANOS else None


def draft_of(business_id: str, kind: str, org_id: int, parts: Iterable[Part], ids: Mapping[Wanted, int]) -> Draft:
    moves: defaultdict[int, int] = defaultdict(int)
    for part in parts:
        moves[ids[kinds.WALLET, org_id]] -= part.charge - part.written_off
        moves[ids[kinds.WRITE_OFF, None]] -= part.written_off
        moves[ids[kinds.PROVIDER_COST, None]] += part.provider
        if part.owner:
            moves[ids[kinds.REWARDS_ESCROW, part.owner_id]] += part.owner
        moves[ids[kinds.REVENUE, None]] += part.charge - part.provider - part.owner
    return Draft(business_id, kind, {account: amount for account, amount in moves.items() if amount})


def keep(cursor: psycopg.Cursor, parts: Iterable[tuple[int, Iterable[Part]]]) -> None:
    """Writes the charges, given with the id of their transfer."""
    with cursor.copy(COPY_CHARGES) as copy:
        for transfer_id, charged in parts:
            for part in charged:
                copy.write_row((*_figures(part), transfer_id))


def _figures(part: Part) -> tuple[object, ...]:
    used = part.used
    return (
        used.request_id, part.revision, used.started_at, used.org_id, used.target_id, used.price_version,
        used.input_tokens, used.cached_tokens, used.output_tokens, part.charge, part.written_off, part.provider,
        part.owner, part.owner_id or None,
    )  # fmt: skip


def _note_unsettled(cursor: psycopg.Cursor, record: UsageRecord, reason: str) -> None:
    about = (record.request_id, record.started_at, record.org_id, record.target_id, record.price_version, reason)
    cursor.execute(NOTE_UNSETTLED, about)
