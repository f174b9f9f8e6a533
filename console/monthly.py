"""Statements of months as people read them, and as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.models import MonthlyStatement
from billing.monthly import AccountMonth, Document
from common.money import usd_text
from ledger import kinds

ACCOUNTS: dict[str, Promise] = {
    kinds.WALLET: _("Credits"),
    kinds.TOKENS: _("Earned for own use"),
    kinds.REWARDS_ESCROW: _("Earnings that are maturing"),
    kinds.REWARDS_AVAILABLE: _("Earnings that can be paid out"),
}
MOVEMENTS: dict[str, Promise] = {
    "settlement": _("Usage"),
    "stripe_topup": _("Top-up"),
    "credit": _("Credit given"),
    "refund": _("Refund"),
    "dispute": _("Disputed payment"),
    "rerating": _("Corrected prices"),
    "reversal": _("Taken back"),
    "payout": _("Paid out"),
    "payout_reversed": _("A payout that came back"),
    "voucher": _("Voucher"),
    "credit_limit": _("Credit limit"),
    "maturity": _("Rewards that matured"),
    "clawback": _("Taken back"),
    "exchange": _("Earned as tokens"),
    "donation": _("Given to causes"),
}
COLUMNS = ("section", "what", "count", "input_tokens", "output_tokens", "amount_usd")


@dataclass(frozen=True, slots=True)
class Shown:
    """A statement and what it says."""

    row: MonthlyStatement
    document: Document

    @property
    def number(self) -> str:
        return f"{self.row.month:%Y-%m}-{self.row.public_id.removeprefix('stmt_')[-6:].upper()}"

    @property
    def used_nanos(self) -> int:
        return sum(one.nanos for one in self.document.usage)

    @property
    def moved(self) -> dict[str, int]:
        return {one.kind: one.nanos for one in self.document.wallet.movements}

    @property
    def added_nanos(self) -> int:
        """All that came to the credits but usage and its corrections."""
        return sum(nanos for kind, nanos in self.moved.items() if kind not in ("settlement", "rerating"))

    @property
    def sections(self) -> list[tuple[Promise | str, AccountMonth, list[tuple[Promise | str, int, int]]]]:
        """The accounts that something was or is in, each movement with its name."""
        return [
            (
                ACCOUNTS.get(one.kind, one.kind),
                one,
                [(_name(one.kind, move.kind), move.count, move.nanos) for move in one.movements],
            )
            for one in self.document.accounts
            if one.movements or one.opening or one.kind == kinds.WALLET
        ]


def _name(account: str, movement: str) -> Promise | str:
    """Settled requests are spending of the credits, and income of every other account."""
    if movement == "settlement" and account != kinds.WALLET:
        return _("Earned with others' requests")
    if movement == "clawback" and account == kinds.WALLET:
        return _("Given back after a review")  # to who had paid; its owner has it taken back
    return MOVEMENTS.get(movement, movement)


def shown(row: MonthlyStatement) -> Shown:
    return Shown(row, Document.of(row))


def csv_rows(one: Shown) -> Iterator[list[str]]:
    """The same figures with all their digits, the header first."""
    yield [*COLUMNS]
    for account in one.document.accounts:
        yield _cells(account.kind, "opening", "", "", "", account.opening)
        for move in account.movements:
            yield _cells(account.kind, move.kind, move.count, "", "", move.nanos)
        yield _cells(account.kind, "closing", "", "", "", account.closing)
    for used in one.document.usage:
        yield _cells("usage", used.target, used.requests, used.input_tokens, used.output_tokens, -used.nanos)
    for correction in one.document.corrections:
        yield _cells("correction", correction.month, correction.requests, "", "", -correction.nanos)


def _cells(section: str, what: str, count: object, read: object, written: object, nanos: int) -> list[str]:
    return [section, str(what), str(count), str(read), str(written), usd_text(nanos)]
