"""What must hold of earnings, beside what the ledger and settlement prove."""

from __future__ import annotations

from ledger.invariants import Invariant

INVARIANTS = (
    Invariant(
        "I9",
        "escrow, matured rewards and gifts are what their lots say, and lots what their charges say",
        """
        WITH lots AS (
            SELECT org_id, sum(escrow - matured - taken_escrow) AS waiting, sum(matured) AS matured
            FROM earnings_lot GROUP BY org_id
        ), accounts AS (
            SELECT a.org_id,
                sum(a.balance) FILTER (WHERE a.kind = 'rewards_escrow') AS waiting,
                (SELECT coalesce(sum(e.amount), 0) FROM ledger_entry e JOIN ledger_transfer t ON t.id = e.transfer_id
                 JOIN ledger_account m ON m.id = e.account_id
                 WHERE m.org_id = a.org_id AND m.kind = 'rewards_available' AND t.kind = 'maturity'
                 AND NOT EXISTS (SELECT FROM ledger_transfer r WHERE r.reverses_id = t.id)) AS matured
            FROM ledger_account a WHERE a.kind IN ('rewards_escrow', 'rewards_available') GROUP BY a.org_id
        )
        SELECT 'organisation ' || coalesce(a.org_id, l.org_id),
            'escrow is ' || coalesce(a.waiting, 0) || ', its lots say ' || coalesce(l.waiting, 0)
        FROM accounts a FULL JOIN lots l USING (org_id) WHERE coalesce(a.waiting, 0) <> coalesce(l.waiting, 0)
        UNION ALL
        SELECT 'organisation ' || coalesce(a.org_id, l.org_id),
            'matured ' || coalesce(a.matured, 0) || ', its lots say ' || coalesce(l.matured, 0)
        FROM accounts a FULL JOIN lots l USING (org_id) WHERE coalesce(a.matured, 0) <> coalesce(l.matured, 0)
        UNION ALL
        SELECT 'lot ' || l.id, 'earned ' || l.earned || ', its charges say ' || coalesce(c.earned, 0)
        FROM earnings_lot l LEFT JOIN (
            SELECT g.owner_id, g.target_id, (t.posted_at AT TIME ZONE 'UTC')::date AS day,
                sum(greatest(g.owner_nanos, 0)) AS earned, sum(g.charge_nanos - g.written_off_nanos) AS paid,
                -sum(least(g.owner_nanos, 0)) AS taken
            FROM billing_charge g JOIN ledger_transfer t ON t.id = CASE WHEN g.revision = 0 THEN g.transfer_id ELSE (
                SELECT transfer_id FROM billing_charge f WHERE f.request_id = g.request_id AND f.revision = 0
            ) END
            WHERE g.owner_id IS NOT NULL GROUP BY 1, 2, 3
        ) c ON c.owner_id = l.org_id AND c.target_id = l.target_id AND c.day = l.day
        WHERE (l.earned, l.paid) IS DISTINCT FROM (coalesce(c.earned, 0), coalesce(c.paid, 0)) OR l.taken < c.taken
        UNION ALL
        SELECT 'cause ' || d.cause_id, 'was given ' || d.given || ', the ledger says ' || coalesce(e.given, 0)
        FROM (SELECT cause_id, sum(nanos - taken) AS given FROM earnings_donation GROUP BY 1) d
        LEFT JOIN (
            SELECT a.reference, sum(e.amount) AS given FROM ledger_entry e
            JOIN ledger_account a ON a.id = e.account_id AND a.kind = 'ngo_payable'
            JOIN ledger_transfer t ON t.id = e.transfer_id AND t.kind IN ('donation', 'clawback')
                AND NOT EXISTS (SELECT FROM ledger_transfer r WHERE r.reverses_id = t.id) GROUP BY 1
        ) e ON e.reference = d.cause_id::text
        WHERE d.given <> coalesce(e.given, 0)
        UNION ALL
        SELECT 'lot ' || l.id, 'gave ' || l.donated || ', its gifts say ' || coalesce(d.given, 0)
        FROM earnings_lot l LEFT JOIN (
            SELECT lot_id, sum(nanos) AS given FROM earnings_donation GROUP BY 1
        ) d ON d.lot_id = l.id WHERE l.donated <> coalesce(d.given, 0)
        UNION ALL
        SELECT 'case ' || c.public_id, 'organisation ' || p.org_id || ' got nano-USD '
            || coalesce(e.nanos, 0) || ' back, not ' || p.nanos
        FROM earnings_case c JOIN earnings_lot l ON l.id = c.lot_id
        CROSS JOIN LATERAL (
            SELECT g.org_id, div(sum(g.charge_nanos - g.written_off_nanos) * c.share_numerator, c.share_denominator)
                AS nanos
            FROM billing_charge g JOIN billing_charge f ON f.request_id = g.request_id AND f.revision = 0
            JOIN ledger_transfer t ON t.id = f.transfer_id
            WHERE g.target_id = l.target_id AND g.owner_id = l.org_id AND t.id < c.transfer_id
                AND (t.posted_at AT TIME ZONE 'UTC')::date = l.day GROUP BY g.org_id
        ) p
        LEFT JOIN (
            SELECT split_part(t.business_id, ':', 2) AS case_id, a.org_id, sum(e.amount) AS nanos
            FROM ledger_transfer t JOIN ledger_entry e ON e.transfer_id = t.id
            JOIN ledger_account a ON a.id = e.account_id AND a.kind = 'wallet'
            WHERE t.kind = 'clawback' GROUP BY 1, 2
        ) e ON e.case_id = c.public_id AND e.org_id = p.org_id
        WHERE c.state = 'upheld' AND c.share_denominator IS NOT NULL AND p.nanos <> coalesce(e.nanos, 0)
        """,
    ),
)
