"""Charges are kept as the ledger is: nobody truncates them, and no privilege to change them is left."""

from django.db import migrations

KEEP = """
CREATE TRIGGER billing_charge_no_truncate BEFORE TRUNCATE ON billing_charge
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
ALTER TABLE billing_charge ENABLE ALWAYS TRIGGER billing_charge_no_truncate;
REVOKE UPDATE, DELETE, TRUNCATE ON billing_charge FROM PUBLIC, CURRENT_USER;
"""

AS_BEFORE = """
GRANT UPDATE, DELETE, TRUNCATE ON billing_charge TO CURRENT_USER;
DROP TRIGGER billing_charge_no_truncate ON billing_charge;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0011_tiers_of_machines")]

    operations = [migrations.RunSQL(KEEP, AS_BEFORE)]
