"""What PostgreSQL itself refuses, whoever asks: unbalanced transfers, changed history, holds that end twice.

As in the audit trail, the triggers fire "always", and the revoked privileges hold where the application's role is an
ordinary one. `ledger_transfer` keeps UPDATE on one column, because without it PostgreSQL could not lock the row that a
new entry refers to; the trigger refuses the update itself.
"""

from django.db import migrations

RULES = """
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER ledger_transfer_append_only BEFORE UPDATE OR DELETE ON ledger_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_transfer_no_truncate BEFORE TRUNCATE ON ledger_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OR DELETE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_entry_no_truncate BEFORE TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
ALTER TABLE ledger_transfer
    ENABLE ALWAYS TRIGGER ledger_transfer_append_only, ENABLE ALWAYS TRIGGER ledger_transfer_no_truncate;
ALTER TABLE ledger_entry
    ENABLE ALWAYS TRIGGER ledger_entry_append_only, ENABLE ALWAYS TRIGGER ledger_entry_no_truncate;
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_transfer, ledger_entry FROM PUBLIC, CURRENT_USER;
GRANT UPDATE (id) ON ledger_transfer TO CURRENT_USER;

CREATE FUNCTION ledger_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved bigint := CASE TG_TABLE_NAME WHEN 'ledger_transfer' THEN NEW.id ELSE (to_jsonb(NEW) ->> 'transfer_id')::bigint END;
BEGIN
    IF NOT EXISTS (SELECT FROM ledger_entry WHERE transfer_id = moved) OR EXISTS (
        SELECT FROM ledger_entry e JOIN ledger_account a ON a.id = e.account_id
        WHERE e.transfer_id = moved GROUP BY a.currency HAVING sum(e.amount) <> 0
    ) THEN
        RAISE EXCEPTION 'the entries of transfer % do not sum to zero', moved USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ledger_transfer_balanced AFTER INSERT ON ledger_transfer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_balanced();
CREATE CONSTRAINT TRIGGER ledger_entry_balanced AFTER INSERT ON ledger_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_balanced();
ALTER TABLE ledger_transfer ENABLE ALWAYS TRIGGER ledger_transfer_balanced;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER ledger_entry_balanced;

CREATE FUNCTION ledger_account_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (OLD.id, OLD.org_id, OLD.kind, OLD.currency, OLD.reference, OLD.is_prepaid)
            IS DISTINCT FROM (NEW.id, NEW.org_id, NEW.kind, NEW.currency, NEW.reference, NEW.is_prepaid) THEN
        RAISE EXCEPTION 'account % stays what it is', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_account_identity BEFORE DELETE OR UPDATE OF id, org_id, kind, currency, reference, is_prepaid
    ON ledger_account FOR EACH ROW EXECUTE FUNCTION ledger_account_identity();
ALTER TABLE ledger_account ENABLE ALWAYS TRIGGER ledger_account_identity;

CREATE FUNCTION ledger_hold_ends_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'reserved' OR NEW.state = 'reserved'
            OR (OLD.id, OLD.business_id, OLD.account_id, OLD.amount, OLD.created_at)
            IS DISTINCT FROM (NEW.id, NEW.business_id, NEW.account_id, NEW.amount, NEW.created_at) THEN
        RAISE EXCEPTION 'hold % ends once and is not changed otherwise', OLD.business_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_hold_ends_once BEFORE UPDATE OR DELETE ON ledger_hold
    FOR EACH ROW EXECUTE FUNCTION ledger_hold_ends_once();
ALTER TABLE ledger_hold ENABLE ALWAYS TRIGGER ledger_hold_ends_once;
"""

AS_BEFORE = """
DROP TRIGGER ledger_hold_ends_once ON ledger_hold;
DROP TRIGGER ledger_account_identity ON ledger_account;
DROP TRIGGER ledger_entry_balanced ON ledger_entry;
DROP TRIGGER ledger_transfer_balanced ON ledger_transfer;
DROP TRIGGER ledger_entry_append_only ON ledger_entry;
DROP TRIGGER ledger_entry_no_truncate ON ledger_entry;
DROP TRIGGER ledger_transfer_append_only ON ledger_transfer;
DROP TRIGGER ledger_transfer_no_truncate ON ledger_transfer;
DROP FUNCTION ledger_hold_ends_once();
DROP FUNCTION ledger_account_identity();
DROP FUNCTION ledger_balanced();
DROP FUNCTION ledger_refuse_change();
GRANT UPDATE, DELETE, TRUNCATE ON ledger_transfer, ledger_entry TO CURRENT_USER;
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]

    operations = [migrations.RunSQL(RULES, AS_BEFORE)]
