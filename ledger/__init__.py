"""Money: accounts, transfers, entries, holds, allowances. Knows money, not tokens."""
