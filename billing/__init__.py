"""Who pays what: settlement of usage, the price book, credits bought, refunded and given.

Money moves in `ledger` only; this room says which transfers there are to be.

    prices      the book: each version of each target's price, with the time it was in force
    settlement  usage of a batch → charges and transfers, in the transaction that records the usage
    rerating    charges anew by another version of the price, by compensating transfers
"""
