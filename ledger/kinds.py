"""The chart of accounts. A kind is a word in `Account.kind`; those of `PREPAID` never go below what they hold.

Of an organisation:  wallet (credits), tokens (what its machines earned for its own use), budget (what may still be
                     spent in a window; `reference` names whose), rewards_escrow and rewards_available (owed to it)
Of the platform:     revenue, provider_cost, ngo_payable (`reference` names the cause), stripe_clearing, promo,
                     bank_clearing (what was paid by bank), write_off, allotments (the other side of budgets),
                     credit_line (what an organisation may spend before it pays; `reference` names it)

What is held has no account of its own: it stays where it is, counted in `Account.held`.
"""

WALLET = "wallet"
TOKENS = "tokens"
BUDGET = "budget"
REWARDS_ESCROW = "rewards_escrow"
REWARDS_AVAILABLE = "rewards_available"
REVENUE = "revenue"
PROVIDER_COST = "provider_cost"
NGO_PAYABLE = "ngo_payable"
STRIPE_CLEARING = "stripe_clearing"
BANK_CLEARING = "bank_clearing"
PROMO = "promo"
WRITE_OFF = "write_off"
ALLOTMENTS = "allotments"
CREDIT_LINE = "credit_line"

OF_ORGANIZATIONS = frozenset({WALLET, TOKENS, BUDGET, REWARDS_ESCROW, REWARDS_AVAILABLE})
OF_PLATFORM = frozenset(
    {REVENUE, PROVIDER_COST, NGO_PAYABLE, STRIPE_CLEARING, BANK_CLEARING, PROMO, WRITE_OFF, ALLOTMENTS, CREDIT_LINE}
)
PREPAID = frozenset({WALLET, TOKENS, BUDGET, REWARDS_ESCROW, REWARDS_AVAILABLE, NGO_PAYABLE})

USD = "USD"
"""Counted in nano-USD."""
COUNT = "TOKENS"
"""The currency of budgets of tokens, counted one by one."""
