"""What machines earn for their owners: how it is divided, when it is theirs, what is taken back of it.

    settlement ─► owner's share ─► rewards_escrow ─┬─(Rewards)── after 14 days and with trust ─► rewards_available
                                                   ├─(Exchange)─ 0–100 % at once ─► tokens
                                                   └─(Mission)── none or 10–100 % at once ─► ngo_payable of each cause

    splitting   the arithmetic, pure        sharing    the hand that settlement lends us
    programmes  what an owner chose         maturity   from escrow to what may be paid out
    cases       doubts, answers, verdicts   clawback   the transfer that gives money back
    corrections a price put right           givenback  the same of what a case gave back
    causes      who is given to             figures    what pages show, from the ledger and the lots

A lot is what one model of one machine earned on one day of posting (UTC). It never says what the ledger does not:
`reconcile` holds both against each other.
"""
