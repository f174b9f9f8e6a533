"""Shows metering what of each charge own tokens paid, and has the hours of such charges summed anew.

Where usage has expired, nobody knows any more whose it was: there the hour as a whole is told apart.
"""

from django.db import migrations

SHOW = """
CREATE OR REPLACE VIEW metering_settled (request_id, paid_nanos, tokens_nanos) AS
    SELECT request_id, charge_nanos - written_off_nanos, tokens_nanos FROM billing_charge
    UNION ALL
    SELECT split_part(request_id, '#', 1)::varchar(40), charge_nanos - written_off_nanos, tokens_nanos
        FROM billing_charge WHERE strpos(request_id, '#') > 0
    UNION ALL SELECT request_id, 0::bigint, 0::bigint FROM billing_unsettled
"""
HIDE = """
DROP VIEW metering_settled;
CREATE VIEW metering_settled (request_id, paid_nanos) AS
    SELECT request_id, charge_nanos - written_off_nanos FROM billing_charge
    UNION ALL SELECT split_part(request_id, '#', 1)::varchar(40), charge_nanos - written_off_nanos FROM billing_charge
        WHERE strpos(request_id, '#') > 0
    UNION ALL SELECT request_id, 0::bigint FROM billing_unsettled
"""
TELL_APART = """
WITH paid AS (
    SELECT org_id, date_trunc('hour', started_at, 'UTC') AS hour, sum(tokens_nanos)::bigint AS nanos
    FROM billing_charge WHERE tokens_nanos <> 0 GROUP BY 1, 2
), of_expired AS (
    INSERT INTO metering_rollup (
        period, org_id, starts_at, model, route, target, key_id, user_id, requests, errors, input_tokens,
        cached_tokens, output_tokens, cost_nanos, duration_ms_sum, ttft_ms_sum, ttft_count, charged_nanos,
        tokens_nanos
    )
    SELECT 'hour', org_id, hour, '', '', '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -nanos, nanos
    FROM paid JOIN metering_usageexpiry USING (org_id) WHERE hour < expired_before
    ON CONFLICT ON CONSTRAINT rollup_bucket_once DO UPDATE SET
        charged_nanos = metering_rollup.charged_nanos + excluded.charged_nanos,
        tokens_nanos = metering_rollup.tokens_nanos + excluded.tokens_nanos
)
INSERT INTO metering_dirtybucket (org_id, hour) SELECT org_id, hour FROM paid
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0015_invoices_of_automatic_top_ups"),
        ("metering", "0015_sums_know_tokens_and_lengths"),
    ]

    operations = [migrations.RunSQL(SHOW, HIDE), migrations.RunSQL(TELL_APART, migrations.RunSQL.noop)]
