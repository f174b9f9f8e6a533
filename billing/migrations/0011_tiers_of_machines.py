"""The book holds the tiers of machines' prices, too."""

from django.db import migrations

BOOK = """
DROP TRIGGER billing_book ON nodes_nodemodel;
CREATE OR REPLACE FUNCTION billing_book_node_model() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM billing_book_price(-NEW.id, NEW.price_version, NEW.org_id, NEW.input_price_nanos, NULL,
                               NEW.output_price_nanos, 0, billing_finer(NULL, NULL, NULL, NULL, NEW.price_tiers));
    RETURN NULL;
END $$;
CREATE TRIGGER billing_book AFTER INSERT OR UPDATE OF price_version, input_price_nanos, output_price_nanos, price_tiers
    ON nodes_nodemodel FOR EACH ROW EXECUTE FUNCTION billing_book_node_model();
"""

AS_BEFORE = """
DROP TRIGGER billing_book ON nodes_nodemodel;
CREATE OR REPLACE FUNCTION billing_book_node_model() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM billing_book_price(-NEW.id, NEW.price_version, NEW.org_id, NEW.input_price_nanos, NULL,
                               NEW.output_price_nanos, 0, NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER billing_book AFTER INSERT OR UPDATE OF price_version, input_price_nanos, output_price_nanos
    ON nodes_nodemodel FOR EACH ROW EXECUTE FUNCTION billing_book_node_model();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_finer_prices"), ("nodes", "0007_price_tiers")]

    operations = [migrations.RunSQL(BOOK, AS_BEFORE)]
