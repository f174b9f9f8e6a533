"""Refuses to change or remove audit events, twice over.

Triggers hold against everybody, the superuser too, until somebody disables them by name; they fire "always", so not
even a session in replica mode passes. The revoked privileges hold where the application's role is an ordinary one.
"""

from django.db import migrations

APPEND_ONLY = """
CREATE FUNCTION accounts_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the audit trail is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON accounts_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON accounts_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_refuse_change();

ALTER TABLE accounts_auditevent
    ENABLE ALWAYS TRIGGER audit_append_only, ENABLE ALWAYS TRIGGER audit_no_truncate;

REVOKE UPDATE, DELETE, TRUNCATE ON accounts_auditevent FROM PUBLIC, CURRENT_USER;
"""

AS_BEFORE = """
GRANT UPDATE, DELETE, TRUNCATE ON accounts_auditevent TO CURRENT_USER;
DROP TRIGGER audit_append_only ON accounts_auditevent;
DROP TRIGGER audit_no_truncate ON accounts_auditevent;
DROP FUNCTION accounts_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_keys_replace_within_organization"),
    ]

    operations = [migrations.RunSQL(APPEND_ONLY, AS_BEFORE)]
