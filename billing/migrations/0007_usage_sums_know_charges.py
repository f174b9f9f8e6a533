"""Shows metering what each request was charged: what its sums of usage call `metering_settled`.

A request that several targets answered has a charge for each, `req_…#2`. They are rare, and found by their own index.
"""

from django.db import migrations

SHOW = """
CREATE INDEX billing_charge_of_part ON billing_charge (split_part(request_id, '#', 1))
    WHERE strpos(request_id, '#') > 0;
CREATE OR REPLACE VIEW metering_settled (request_id, paid_nanos) AS
    SELECT request_id, charge_nanos - written_off_nanos FROM billing_charge
    UNION ALL SELECT split_part(request_id, '#', 1)::varchar(40), charge_nanos - written_off_nanos FROM billing_charge
        WHERE strpos(request_id, '#') > 0
    UNION ALL SELECT request_id, 0::bigint FROM billing_unsettled
"""
HIDE = """
DROP INDEX billing_charge_of_part;
CREATE OR REPLACE VIEW metering_settled (request_id, paid_nanos) AS
    SELECT NULL::varchar(40), NULL::bigint WHERE false
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_payouts_sent_back"), ("metering", "0011_rollups_carry_charges_and_spreads")]

    operations = [migrations.RunSQL(SHOW, HIDE)]
