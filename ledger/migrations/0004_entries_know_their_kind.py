"""Entries carry the kind of their transfer, so that rare ones of an account are found without reading the others.

What is there already is filled in; that is the one update that history has seen, and it says nothing new. Whoever
writes an entry without a kind, as an older process does while this is rolled out, has it filled in by a trigger.
"""

from django.db import migrations, models

FILL = """
CREATE FUNCTION ledger_entry_takes_kind() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.kind := coalesce((SELECT kind FROM ledger_transfer WHERE id = NEW.transfer_id), '');
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_entry_takes_kind BEFORE INSERT ON ledger_entry
    FOR EACH ROW WHEN (NEW.kind = '') EXECUTE FUNCTION ledger_entry_takes_kind();

GRANT UPDATE ON ledger_entry TO CURRENT_USER;
ALTER TABLE ledger_entry DISABLE TRIGGER ledger_entry_append_only;
UPDATE ledger_entry e SET kind = t.kind FROM ledger_transfer t WHERE t.id = e.transfer_id;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER ledger_entry_append_only;
REVOKE UPDATE ON ledger_entry FROM CURRENT_USER;
"""
AS_BEFORE = """
DROP TRIGGER ledger_entry_takes_kind ON ledger_entry;
DROP FUNCTION ledger_entry_takes_kind();
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0003_lessee_names_its_journal")]

    operations = [
        migrations.AddField(model_name="entry", name="kind", field=models.CharField(max_length=40, db_default="")),
        migrations.RunSQL(FILL, AS_BEFORE),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(fields=["account", "kind", "id"], name="ledger_entry_account_kind"),
        ),
    ]
