"""What must hold of charges, beside what the ledger itself proves."""

from __future__ import annotations

from ledger.invariants import Invariant
from ledger.kept import Kept

KEPT = (
    Kept("billing_charge", ("billing_charge_append_only", "billing_charge_no_truncate")),
    Kept("billing_priceversion", ("billing_keep_price",), is_append_only=False),
)

PRICED = """
CASE WHEN p.finer IS NULL THEN
    div((c.input_tokens - c.cached_tokens)::numeric * p.input_nanos
        + c.cached_tokens::numeric * coalesce(p.cached_input_nanos, p.input_nanos)
        + c.output_tokens::numeric * p.output_nanos + 500000, 1000000)
ELSE
    billing_finer_cost(p.finer, p.input_nanos, p.cached_input_nanos, p.output_nanos, c.input_tokens, c.cached_tokens,
                       c.output_tokens, c.token_details)
END + p.request_nanos
"""

PARTS = "attempts @? '$[*].used.charged ? (@ == true)'"
"""Of a usage row: several targets answered, and each is charged by itself, as `billing.shares` has it."""

USED = f"""
SELECT request_id, started_at, org_id, target, target_id, price_version, input_tokens, cached_tokens, output_tokens,
       cost_nanos, billing_reason, token_details
FROM metering_usage WHERE NOT {PARTS}
UNION ALL
SELECT u.request_id || '#' || a.number, u.started_at, u.org_id, a.told ->> 'target', (a.told ->> 'target_id')::bigint,
       (a.told #>> '{{used,price_version}}')::int, (a.told #>> '{{used,input_tokens}}')::bigint,
       (a.told #>> '{{used,cached_tokens}}')::bigint, (a.told #>> '{{used,output_tokens}}')::bigint,
       (a.told #>> '{{used,cost_nanos}}')::bigint, u.billing_reason,
       nullif(a.told #> '{{used,token_details}}', 'null'::jsonb)
FROM metering_usage u, jsonb_array_elements(u.attempts) WITH ORDINALITY a (told, number)
WHERE u.{PARTS} AND (a.told #>> '{{used,charged}}')::boolean
"""  # noqa: S608  made of the constant above

INVARIANTS = (
    Invariant(
        "I5",
        "a request is settled at most once, and what its charge says it used is what its usage says",
        f"""
        SELECT 'request ' || c.request_id, 'its usage says otherwise' FROM billing_charge c
        JOIN ({USED}) u ON u.started_at = c.started_at AND u.request_id = c.request_id
        WHERE (c.org_id, c.target_id, c.input_tokens, c.cached_tokens, c.output_tokens, c.token_details)
            IS DISTINCT FROM
            (u.org_id, u.target_id, u.input_tokens, u.cached_tokens, u.output_tokens, u.token_details)
        UNION ALL
        SELECT 'request ' || request_id, 'settled ' || count(*) FILTER (WHERE revision = 0) || ' times'
        FROM billing_charge GROUP BY request_id HAVING count(*) FILTER (WHERE revision = 0) <> 1
            OR max(revision) <> count(*) - 1
        UNION ALL
        SELECT 'request ' || c.request_id, 'both charged and unsettled'
        FROM billing_charge c JOIN billing_unsettled USING (request_id)
        """,  # noqa: S608  made of the constants above
    ),
    Invariant(
        "I7",
        "a charge is usage by the version of its price, and a transfer of settlement is the sum of its charges",
        f"""
        SELECT 'request ' || c.request_id, 'charged ' || s.total || ', not ' || coalesce(({PRICED})::text, 'priced')
        FROM billing_charge c
        JOIN (SELECT request_id, max(revision) AS revision, sum(charge_nanos) AS total FROM billing_charge
              GROUP BY request_id) s USING (request_id, revision)
        LEFT JOIN billing_priceversion p ON p.target_id = c.target_id AND p.version = c.price_version
        WHERE s.total IS DISTINCT FROM ({PRICED})
        UNION ALL
        SELECT t.business_id, 'its charges sum to ' || coalesce(c.total, 0) || ', it took ' || coalesce(e.taken, 0)
        FROM ledger_transfer t
        LEFT JOIN (SELECT transfer_id, sum(charge_nanos - written_off_nanos) AS total,
                          sum(provider_nanos) AS provider, sum(owner_nanos) AS owner
                   FROM billing_charge GROUP BY transfer_id) c ON c.transfer_id = t.id
        LEFT JOIN (SELECT e.transfer_id, -sum(amount) FILTER (WHERE a.kind IN ('wallet', 'tokens')) AS taken,
                          sum(amount) FILTER (WHERE a.kind = 'provider_cost') AS provider,
                          sum(amount) FILTER (WHERE a.kind = 'rewards_escrow') AS owner
                   FROM ledger_entry e JOIN ledger_account a ON a.id = e.account_id GROUP BY e.transfer_id
                  ) e ON e.transfer_id = t.id
        WHERE t.kind IN ('settlement', 'rerating')
        AND (coalesce(c.total, 0), coalesce(c.provider, 0), coalesce(c.owner, 0))
            <> (coalesce(e.taken, 0), coalesce(e.provider, 0), coalesce(e.owner, 0))
        AND (c.transfer_id IS NOT NULL OR NOT EXISTS (SELECT FROM ledger_transfer r WHERE r.reverses_id = t.id))
        UNION ALL
        SELECT 'request ' || u.request_id, 'used ' || u.target || ' and was neither charged nor set aside'
        FROM ({USED}) u
        JOIN billing_priceversion p ON p.target_id = u.target_id AND p.version = u.price_version
        LEFT JOIN billing_charge c ON c.request_id = u.request_id AND c.revision = 0
        LEFT JOIN billing_unsettled n ON n.request_id = u.request_id
        WHERE u.started_at >= now() - interval '2 days' AND u.started_at >= p.valid_from
        AND p.owner_id IS DISTINCT FROM u.org_id AND u.cost_nanos > 0
        AND u.billing_reason NOT IN ('no_charge_error', 'cached') AND c.request_id IS NULL AND n.request_id IS NULL
        """,  # noqa: S608  made of the constants above
    ),
    Invariant(
        "I8",
        "what Stripe received for a top-up was credited, once, and nothing else",
        """
        SELECT 'top-up ' || u.public_id,
               'received ' || u.received_cents || ' cents, credited nano-USD ' || coalesce(-c.nanos, 0)
        FROM billing_topup u
        LEFT JOIN (SELECT t.business_id, sum(e.amount) AS nanos FROM ledger_transfer t
                   JOIN ledger_entry e ON e.transfer_id = t.id
                   JOIN ledger_account a ON a.id = e.account_id AND a.kind = 'stripe_clearing'
                   WHERE t.kind = 'stripe_topup' GROUP BY t.business_id) c ON c.business_id = 'topup:' || u.payment_id
        WHERE u.state = 'paid' AND u.received_cents * 10000000 IS DISTINCT FROM -c.nanos
        UNION ALL
        SELECT t.business_id, 'no top-up was paid by it' FROM ledger_transfer t
        LEFT JOIN billing_topup u ON 'topup:' || u.payment_id = t.business_id AND u.state = 'paid'
        WHERE t.kind = 'stripe_topup' AND u.id IS NULL
        AND NOT EXISTS (SELECT FROM ledger_transfer r WHERE r.reverses_id = t.id)
        """,
    ),
    Invariant(
        "I9",
        "payouts are confirmed transfers, each posted once, and no more than the rewards that matured",
        """
        SELECT 'payout ' || p.public_id, 'paid ' || p.cents || ' cents, posted nano-USD ' || coalesce(-e.nanos, 0)
        FROM billing_payout p
        LEFT JOIN (SELECT t.business_id, a.org_id, sum(e.amount) AS nanos FROM ledger_transfer t
                   JOIN ledger_entry e ON e.transfer_id = t.id
                   JOIN ledger_account a ON a.id = e.account_id AND a.kind = 'rewards_available'
                   WHERE t.kind = 'payout' GROUP BY t.business_id, a.org_id
                  ) e ON e.business_id = 'payout:' || p.public_id AND e.org_id = p.org_id
        WHERE p.state = 'paid' AND p.cents * 10000000 IS DISTINCT FROM -e.nanos
        UNION ALL
        SELECT t.business_id, 'no payout was confirmed for it' FROM ledger_transfer t
        LEFT JOIN billing_payout p ON 'payout:' || p.public_id = t.business_id AND p.state = 'paid'
        WHERE t.kind = 'payout' AND p.id IS NULL
        AND NOT EXISTS (SELECT FROM ledger_transfer r WHERE r.reverses_id = t.id)
        UNION ALL
        SELECT 'payout ' || p.public_id,
               'sent back ' || p.reversed_cents || ' cents, posted nano-USD ' || coalesce(r.nanos, 0)
        FROM billing_payout p
        LEFT JOIN (SELECT t.reason, sum(e.amount) AS nanos FROM ledger_transfer t
                   JOIN ledger_entry e ON e.transfer_id = t.id
                   JOIN ledger_account a ON a.id = e.account_id AND a.kind = 'rewards_available'
                   WHERE t.kind = 'payout_reversed'
                   AND NOT EXISTS (SELECT FROM ledger_transfer x WHERE x.reverses_id = t.id)
                   GROUP BY t.reason) r ON r.reason = p.public_id
        WHERE p.reversed_cents * 10000000 <> coalesce(r.nanos, 0)
        UNION ALL
        SELECT 'payout ' || p.public_id, 'its money is not held' FROM billing_payout p
        LEFT JOIN ledger_hold h ON h.business_id = 'payout:' || p.public_id AND h.state = 'reserved'
        WHERE p.state IN ('waiting', 'sending') AND h.amount IS DISTINCT FROM p.cents * 10000000
        UNION ALL
        SELECT 'organisation ' || a.org_id, 'paid out ' || -x.out || ', matured ' || x.come FROM ledger_account a
        JOIN (SELECT e.account_id, coalesce(sum(e.amount) FILTER (WHERE t.kind = 'payout'), 0) AS out,
                     coalesce(sum(e.amount) FILTER (WHERE t.kind <> 'payout'), 0) AS come
              FROM ledger_entry e JOIN ledger_transfer t ON t.id = e.transfer_id GROUP BY e.account_id
             ) x ON x.account_id = a.id
        WHERE a.kind = 'rewards_available' AND x.come + x.out < 0
        """,
    ),
)
