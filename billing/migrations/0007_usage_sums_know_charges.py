"""Shows metering what each request was charged: what its sums of usage call `metering_settled`."""

from django.db import migrations

SHOW = """
CREATE OR REPLACE VIEW metering_settled (request_id, paid_nanos) AS
    SELECT request_id, charge_nanos - written_off_nanos FROM billing_charge
    UNION ALL SELECT request_id, 0::bigint FROM billing_unsettled
"""
HIDE = """
CREATE OR REPLACE VIEW metering_settled (request_id, paid_nanos) AS
    SELECT NULL::varchar(40), NULL::bigint WHERE false
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_payouts_sent_back"), ("metering", "0011_rollups_carry_charges_and_spreads")]

    operations = [migrations.RunSQL(SHOW, HIDE)]
