"""What a batch of usage costs, posted in the transaction that records it.

    usage ─► price of its version ─► charge ─► tokens −, wallet −  as held; what they lack is written off
                                            ├─► provider_cost +   on the platform's own connections
                                            ├─► rewards_escrow +  on somebody else's machine: the owner's share,
                                            │                     and on from there (billing.earnings)
                                            └─► revenue +         what is left of it

Own connections and own machines cost their owner nothing. A batch makes one transfer per organisation; each request
has its `Charge`, which says what of the transfer is its; one that several targets answered has one for each. A
request is settled once because its usage is recorded once. The leases that covered the batch end in the same breath.
Usage that cannot be true, and usage without a price, charges nobody and is kept as `Unsettled`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from msgspec import json

from billing.earnings.sharing import Sharing
from billing.prices import NOT_SOLD, PLATFORM, PriceBook, Rates
from billing.shares import shares_of
from billing.terms import Terms
from common.money import NANOS_PER_USD, request_cost_nanos
from common.rates import NO_DETAILS, TokenCounts, TokenDetails, details_within
from ledger import kinds, leases
from ledger.accounts import AccountIds, Wanted
from ledger.drafts import Draft
from ledger.posting import LockedAccount, lock_accounts
from metering.budget_postings import charged_in, covered_by, drafts_of
from metering.copying import ESCAPED, batched
from metering.usage import UsageRecord

if TYPE_CHECKING:
    import psycopg

SETTLEMENT = "settlement"
PRICE_UNKNOWN, IMPLAUSIBLE = "price_unknown", "implausible_usage"
PURSES = (kinds.WALLET, kinds.TOKENS)
FREE = frozenset({"no_charge_error", "cached"})
"""Billing reasons for which nothing is charged: no output, or an answer that was kept (docs/adr/0032)."""
MOST_TOKENS = 1_000_000_000
MOST_NANOS = 1_000_000 * NANOS_PER_USD
"""No request uses more, or costs more."""

COPY_CHARGES = """
COPY billing_charge (request_id, revision, started_at, org_id, target_id, price_version, input_tokens, cached_tokens,
    output_tokens, charge_nanos, written_off_nanos, provider_nanos, owner_nanos, owner_id, tokens_nanos, transfer_id,
    token_details) FROM STDIN
"""
NOTE_UNSETTLED = """
INSERT INTO billing_unsettled (request_id, started_at, org_id, target_id, price_version, reason)
SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::int[], %s::text[])
ON CONFLICT DO NOTHING
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
    """One request's charge, and how it is divided. `owner_id` is PLATFORM or the organisation of the machine.

    `tokens` of what was paid came out of the balance of tokens, the rest of credits.
    """

    used: Used
    owner_id: int
    charge: int
    written_off: int = 0
    provider: int = 0
    owner: int = 0
    revision: int = 0
    tokens: int = 0


class Settler:
    """Of one recorder: it remembers prices and accounts, which do not change."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._book = PriceBook()
        self._accounts = AccountIds()
        self._sharing = Sharing()

    def __call__(self, cursor: psycopg.Cursor, records: Sequence[UsageRecord]) -> None:
        """Posts what the records cost and what they spent of budgets, and ends what was held for them, all at once.

        Args:
            records: of which none was settled before; the caller's transaction records them as well.
        """
        charged = charged_in(cursor, records)
        purses = self._accounts.owners(cursor, charged.others())
        by_org = self._priced(cursor, records, purses)
        if not by_org and not charged.by_lessee:
            return
        spent = charged.only(purses)
        ids = self._accounts_of(cursor, by_org) | {owner: id for id, owner in purses.items()}
        locked = lock_accounts(cursor, {*ids.values(), *charged.sources, *charged.sources.values()})
        covered = covered_by(cursor, spent)
        drafts = list(drafts_of(cursor, charged, locked, covered))
        parts: dict[str, Sequence[Part]] = {}
        for org_id, charges in by_org.items():
            self._divide(charges, *(_has(locked, covered, ids.get((kind, org_id))) for kind in PURSES))
            first = min(part.used.request_id for part in charges)
            draft = draft_of(f"{SETTLEMENT}:{first}", SETTLEMENT, org_id, charges, ids)
            drafts += [draft, *self._sharing.drafts(draft.business_id, charges, ids)]
            parts[draft.business_id] = charges
        posted = leases.settle_all(cursor, spent, drafts, locked)
        kept = [(transfer.id, parts.get(transfer.business_id, ())) for transfer in posted]
        keep(cursor, kept)
        self._sharing.keep(cursor, kept)

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

    def _priced(
        self, cursor: psycopg.Cursor, records: Sequence[UsageRecord], purses: Mapping[int, Wanted]
    ) -> Mapping[int, Sequence[Part]]:
        """What there is to charge, by organisation."""
        by_org: defaultdict[int, list[Part]] = defaultdict(list)
        taken: Counter[str] = Counter()
        has_tokens = any(kind == kinds.TOKENS for kind, _ in purses.values())
        known: dict[tuple[int, int | None], Rates | None] = {}  # a price that is not there is looked for once
        unsettled: list[tuple[UsageRecord, str]] = []
        for record in self._sold(cursor, list(shares_of(records))):
            assert record.target_id is not None
            price = (record.target_id, record.price_version)
            if price not in known:
                known[price] = self._book.find(cursor, *price)
            rates = known[price]
            charge = None if rates is None else cost_of(record, rates)
            if charge is None:
                unsettled.append((record, PRICE_UNKNOWN if rates is None else IMPLAUSIBLE))
            elif charge:
                tokens = 0
                if has_tokens:
                    whole = record.request_id.partition("#")[0]  # of several targets: each takes what is left
                    tokens = min(_held_of_tokens(record, purses) - taken[whole], charge)
                    taken[whole] += tokens
                owner_id = self._book.owners[record.target_id]
                by_org[record.org_id].append(Part(record, owner_id, charge, tokens=tokens))
        if unsettled:
            _note_unsettled(cursor, unsettled)
        return by_org

    def _accounts_of(self, cursor: psycopg.Cursor, by_org: Mapping[int, Sequence[Part]]) -> dict[Wanted, int]:
        owners = {part.owner_id for parts in by_org.values() for part in parts} - {PLATFORM}
        wanted: list[Wanted] = [(kinds.WALLET, org_id) for org_id in by_org]
        wanted += [(kinds.REWARDS_ESCROW, owner) for owner in owners]
        wanted += [(kind, None) for kind in (kinds.REVENUE, kinds.PROVIDER_COST, kinds.WRITE_OFF)]
        return self._accounts.ensure(cursor, wanted) | self._sharing.accounts(cursor, owners)

    def _divide(self, parts: Iterable[Part], credits: int, tokens: int) -> None:
        """The owner of a machine gets a share of what was paid; a provider is owed its price in any case.

        Args: credits, tokens: so much the organisation has.
        """
        for part in parts:
            part.tokens = min(part.tokens, part.charge, tokens)
            of_credits = min(part.charge - part.tokens, credits)
            tokens, credits = tokens - part.tokens, credits - of_credits
            part.written_off = part.charge - part.tokens - of_credits
            if part.owner_id == PLATFORM:
                part.provider = self._terms.provider_nanos(part.charge)
            else:
                part.owner = self._terms.owner_nanos(part.charge - part.written_off)


def _held_of_tokens(record: UsageRecord, purses: Mapping[int, Wanted]) -> int:
    return sum(nanos for id, nanos in record.charges if purses.get(id) == (kinds.TOKENS, record.org_id))


def _has(locked: Mapping[int, LockedAccount], covered: Mapping[int, int], account: int | None) -> int:
    """What can be taken of an account: what nobody holds, and what was held for this."""
    if account is None:
        return 0
    own = locked[account]
    return max(0, own.balance - own.held + covered.get(account, 0))


def settler() -> Settler:
    """As the recorder's hook, by the operator's terms."""
    return Settler(Terms.from_settings())


def cost_of(used: Used, rates: Rates) -> int | None:
    """In nano-USD. None: such usage cannot be true."""
    counts = (used.input_tokens, used.cached_tokens, used.output_tokens)
    if not all(0 <= count <= MOST_TOKENS for count in counts) or used.cached_tokens > used.input_tokens:
        return None
    if used.token_details is not None and not _is_plausible(used, used.token_details):
        return None
    nanos = request_cost_nanos(used, rates)
    return nanos if nanos <= MOST_NANOS else None


def _is_plausible(used: Used, details: TokenDetails) -> bool:
    """Its parts are within what they are parts of."""
    uncached = used.input_tokens - used.cached_tokens
    return details_within(uncached, used.output_tokens, details) == (None if details == NO_DETAILS else details)


def draft_of(business_id: str, kind: str, org_id: int, parts: Iterable[Part], ids: Mapping[Wanted, int]) -> Draft:
    paid = tokens = written_off = provider = 0
    owners: Counter[int] = Counter()
    for part in parts:
        paid += part.charge - part.written_off
        tokens += part.tokens
        written_off += part.written_off
        provider += part.provider
        if part.owner:
            owners[ids[kinds.REWARDS_ESCROW, part.owner_id]] += part.owner
    moves = {ids[kinds.WALLET, org_id]: tokens - paid, **owners}
    if tokens:
        moves[ids[kinds.TOKENS, org_id]] = -tokens
    moves[ids[kinds.WRITE_OFF, None]] = -written_off
    moves[ids[kinds.PROVIDER_COST, None]] = provider
    moves[ids[kinds.REVENUE, None]] = paid + written_off - provider - owners.total()
    return Draft(business_id, kind, {account: amount for account, amount in moves.items() if amount})


def keep(cursor: psycopg.Cursor, parts: Iterable[tuple[int, Iterable[Part]]]) -> None:
    """Writes the charges, given with the id of their transfer."""
    with cursor.copy(COPY_CHARGES) as copy:
        for some in batched((part, transfer_id) for transfer_id, charged in parts for part in charged):
            copy.write("".join([_line(part, transfer_id) for part, transfer_id in some]))


def _line(part: Part, transfer_id: int) -> str:
    """In the text format of COPY, written here because it is written for every request."""
    used = part.used
    owner = part.owner_id or "\\N"
    details = "\\N" if used.token_details is None else json.encode(used.token_details).decode()
    request_id = used.request_id if used.request_id.isidentifier() else used.request_id.translate(ESCAPED)
    return (
        f"{request_id}\t{part.revision}\t{used.started_at}\t{used.org_id}\t{used.target_id}\t"
        f"{used.price_version}\t{used.input_tokens}\t{used.cached_tokens}\t{used.output_tokens}\t{part.charge}\t"
        f"{part.written_off}\t{part.provider}\t{part.owner}\t{owner}\t{part.tokens}\t{transfer_id}\t{details}\n"
    )


def _note_unsettled(cursor: psycopg.Cursor, unsettled: Iterable[tuple[UsageRecord, str]]) -> None:
    rows = [
        (used.request_id, used.started_at, used.org_id, used.target_id, used.price_version, reason)
        for used, reason in unsettled
    ]
    cursor.execute(NOTE_UNSETTLED, [list(column) for column in zip(*rows, strict=True)])
