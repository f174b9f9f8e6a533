"""Money: accounts, transfers, entries, holds, leases. Knows money, not tokens.

Amounts are integers in the smallest unit of their account's currency, nano-USD for USD. Every movement is a transfer,
whose entries sum to zero and are never changed; a mistake is mended by another transfer.

    transfers  post and reverse             holds       reserve, then capture or release, once
    leases     slices of money per process  allowances  spending from slices, in memory
    outbox     telling others, afterwards   invariants  what must hold, proven by queries

PostgreSQL refuses what must not be, whoever asks: see the second migration.
"""
