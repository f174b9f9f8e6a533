"""Refuses to change or remove events of the operator's trail, as those of organisations."""

from django.db import migrations

APPEND_ONLY = """
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON accounts_operatorevent
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON accounts_operatorevent
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_refuse_change();
ALTER TABLE accounts_operatorevent
    ENABLE ALWAYS TRIGGER audit_append_only, ENABLE ALWAYS TRIGGER audit_no_truncate;
REVOKE UPDATE, DELETE, TRUNCATE ON accounts_operatorevent FROM PUBLIC, CURRENT_USER;
"""

AS_BEFORE = """
GRANT UPDATE, DELETE, TRUNCATE ON accounts_operatorevent TO CURRENT_USER;
DROP TRIGGER audit_append_only ON accounts_operatorevent;
DROP TRIGGER audit_no_truncate ON accounts_operatorevent;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0015_operator_trail")]

    operations = [migrations.RunSQL(APPEND_ONLY, AS_BEFORE)]
