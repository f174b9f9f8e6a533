"""What limits hold for, from the widest to the narrowest. The words are those of the API."""

from __future__ import annotations

import msgspec

ORGANISATION, MEMBER, KEY, ROUTE, MODEL, NODE = "organisation", "member", "key", "route", "model", "node"
SCOPES = (ORGANISATION, MEMBER, KEY, ROUTE, MODEL, NODE)

USD, TOKENS = "usd", "tokens"
DAILY, WEEKLY, MONTHLY, LIFETIME = "daily", "weekly", "monthly", "lifetime"
WINDOWS = (DAILY, WEEKLY, MONTHLY, LIFETIME)
BLOCK, OWN_NODES, WARN = "block", "own_nodes", "warn"
WHEN_REACHED = (BLOCK, OWN_NODES, WARN)
"""What happens to a request that a budget does not cover: refused, served by own machines only, served anyway."""

TOKENS_FIRST, CREDITS_FIRST = "tokens_first", "credits_first"
SPENDING_ORDERS = (TOKENS_FIRST, CREDITS_FIRST)
"""What pays first for what others serve: what own machines earned, or credits that were bought."""


class BudgetRecord(msgspec.Struct, frozen=True):
    """So much in each window, in nano-USD or in tokens. Windows begin at midnight UTC; a week begins on Monday."""

    unit: str
    window: str
    amount: int


class LimitRecord(msgspec.Struct, frozen=True):
    """A row of limits. `also` are further subjects that share it: the keys that replaced a key."""

    scope: str
    subject: str
    label: str = ""
    rpm: int | None = None
    rpd: int | None = None
    tpm: int | None = None
    tpd: int | None = None
    concurrency: int | None = None
    budgets: tuple[BudgetRecord, ...] = ()
    when_reached: str = BLOCK
    also: tuple[str, ...] = ()
