"""The price book writes itself: triggers on the rows that targets come from. Charges are never changed."""

from django.db import migrations

BOOK = """
CREATE FUNCTION billing_book_price(target bigint, ver integer, owner bigint, input bigint, cached bigint,
                                   output bigint, request bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO billing_priceversion (target_id, version, owner_id, input_nanos, cached_input_nanos, output_nanos,
                                      request_nanos, valid_from)
    VALUES (target, ver, owner, input, cached, output, request, now()) ON CONFLICT (target_id, version) DO NOTHING;
    IF FOUND THEN
        UPDATE billing_priceversion SET valid_until = now()
        WHERE target_id = target AND version <> ver AND valid_until IS NULL;
    ELSIF NOT EXISTS (
        SELECT FROM billing_priceversion p WHERE p.target_id = target AND p.version = ver
        AND (p.input_nanos, p.cached_input_nanos, p.output_nanos, p.request_nanos)
            IS NOT DISTINCT FROM (input, cached, output, request)
    ) THEN
        RAISE EXCEPTION 'price % of target % is in the book already: a price changes with its version', ver, target
            USING ERRCODE = 'restrict_violation';
    END IF;
END $$;

CREATE FUNCTION billing_book_served_model() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_known boolean := NEW.input_price IS NOT NULL AND NEW.output_price IS NOT NULL;
BEGIN
    PERFORM billing_book_price(
        NEW.id, NEW.price_version, NEW.org_id,
        CASE WHEN is_known THEN (NEW.input_price * 1000000000)::bigint END,
        CASE WHEN is_known THEN (NEW.cached_input_price * 1000000000)::bigint END,
        CASE WHEN is_known THEN (NEW.output_price * 1000000000)::bigint END,
        CASE WHEN is_known THEN (NEW.request_price * 1000000000)::bigint ELSE 0 END);
    RETURN NULL;
END $$;
CREATE TRIGGER billing_book AFTER INSERT OR UPDATE OF price_version, input_price, cached_input_price, output_price,
    request_price ON providers_servedmodel FOR EACH ROW EXECUTE FUNCTION billing_book_served_model();

CREATE FUNCTION billing_book_node_model() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM billing_book_price(-NEW.id, NEW.price_version, NEW.org_id, NEW.input_price_nanos, NULL,
                               NEW.output_price_nanos, 0);
    RETURN NULL;
END $$;
CREATE TRIGGER billing_book AFTER INSERT OR UPDATE OF price_version, input_price_nanos, output_price_nanos
    ON nodes_nodemodel FOR EACH ROW EXECUTE FUNCTION billing_book_node_model();

-- What is served already is in force since now.
UPDATE providers_servedmodel SET price_version = price_version;
UPDATE nodes_nodemodel SET price_version = price_version;

CREATE FUNCTION billing_keep_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.valid_until IS NOT NULL
            OR to_jsonb(NEW) - 'valid_until' IS DISTINCT FROM to_jsonb(OLD) - 'valid_until' THEN
        RAISE EXCEPTION 'price % of target % stays what it was', OLD.version, OLD.target_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_keep_price BEFORE UPDATE OR DELETE ON billing_priceversion
    FOR EACH ROW EXECUTE FUNCTION billing_keep_price();
ALTER TABLE billing_priceversion ENABLE ALWAYS TRIGGER billing_keep_price;

CREATE TRIGGER billing_charge_append_only BEFORE UPDATE OR DELETE ON billing_charge
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
ALTER TABLE billing_charge ENABLE ALWAYS TRIGGER billing_charge_append_only;
"""

UNBOOK = """
DROP TRIGGER billing_charge_append_only ON billing_charge;
DROP TRIGGER billing_keep_price ON billing_priceversion;
DROP FUNCTION billing_keep_price();
DROP TRIGGER billing_book ON nodes_nodemodel;
DROP TRIGGER billing_book ON providers_servedmodel;
DROP FUNCTION billing_book_node_model();
DROP FUNCTION billing_book_served_model();
DROP FUNCTION billing_book_price(bigint, integer, bigint, bigint, bigint, bigint, bigint);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0001_initial"),
        ("ledger", "0002_rules"),
        ("metering", "0005_usage_tells_of_the_cache"),
        ("nodes", "0003_tags"),
        ("providers", "0003_keys_and_models_within_organization"),
    ]

    operations = [migrations.RunSQL(BOOK, UNBOOK)]
