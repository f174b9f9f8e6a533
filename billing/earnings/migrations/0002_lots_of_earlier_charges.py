"""What was earned before there were lots: all of it waits in escrow, as the ledger says."""

from django.db import migrations

FILL = """
INSERT INTO earnings_lot (org_id, target_id, day, requests, input_tokens, output_tokens, paid, earned, escrow,
    exchanged, donated)
SELECT c.owner_id, c.target_id, (t.posted_at AT TIME ZONE 'UTC')::date, count(*) FILTER (WHERE c.revision = 0),
    sum(c.input_tokens) FILTER (WHERE c.revision = 0), sum(c.output_tokens) FILTER (WHERE c.revision = 0),
    sum(c.charge_nanos - c.written_off_nanos), sum(c.owner_nanos), sum(c.owner_nanos), 0, 0
FROM billing_charge c JOIN ledger_transfer t ON t.id = c.transfer_id
WHERE c.owner_id IS NOT NULL GROUP BY 1, 2, 3
"""


class Migration(migrations.Migration):
    dependencies = [("earnings", "0001_earnings"), ("billing", "0003_payments"), ("ledger", "0003_lessee_names_its_journal")]

    operations = [migrations.RunSQL(FILL, migrations.RunSQL.noop)]
