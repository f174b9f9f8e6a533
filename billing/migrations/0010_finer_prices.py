from importlib import import_module

from django.db import migrations, models

BOOK = """
DROP TRIGGER billing_book ON nodes_nodemodel;
DROP TRIGGER billing_book ON providers_servedmodel;
DROP FUNCTION billing_book_price(bigint, integer, bigint, bigint, bigint, bigint, bigint);

CREATE FUNCTION billing_book_price(target bigint, ver integer, owner bigint, input bigint, cached bigint,
                                   output bigint, request bigint, fine jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO billing_priceversion (target_id, version, owner_id, input_nanos, cached_input_nanos, output_nanos,
                                      request_nanos, finer, valid_from)
    VALUES (target, ver, owner, input, cached, output, request, fine, now())
    ON CONFLICT (target_id, version) DO NOTHING;
    IF FOUND THEN
        UPDATE billing_priceversion SET valid_until = now()
        WHERE target_id = target AND version <> ver AND valid_until IS NULL;
    ELSIF NOT EXISTS (
        SELECT FROM billing_priceversion p WHERE p.target_id = target AND p.version = ver
        AND (p.input_nanos, p.cached_input_nanos, p.output_nanos, p.request_nanos, p.finer)
            IS NOT DISTINCT FROM (input, cached, output, request, fine)
    ) THEN
        RAISE EXCEPTION 'price % of target % is in the book already: a price changes with its version', ver, target
            USING ERRCODE = 'restrict_violation';
    END IF;
END $$;

CREATE FUNCTION billing_nanos(usd numeric) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    $$ SELECT (usd * 1000000000)::bigint $$;

CREATE FUNCTION billing_finer(cache_write numeric, audio_input numeric, reasoning numeric, audio_output numeric,
                              tiers jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(jsonb_strip_nulls(jsonb_build_object(
        'cache_write_nanos', billing_nanos(cache_write), 'audio_input_nanos', billing_nanos(audio_input),
        'reasoning_nanos', billing_nanos(reasoning), 'audio_output_nanos', billing_nanos(audio_output),
        'tiers', (SELECT jsonb_agg(jsonb_build_object(
            'above_tokens', (t ->> 'above_tokens')::bigint,
            'input_nanos', billing_nanos((t ->> 'input_price')::numeric),
            'output_nanos', billing_nanos((t ->> 'output_price')::numeric),
            'cached_input_nanos', billing_nanos((t ->> 'cached_input_price')::numeric),
            'cache_write_nanos', billing_nanos((t ->> 'cache_write_price')::numeric),
            'audio_input_nanos', billing_nanos((t ->> 'audio_input_price')::numeric),
            'reasoning_nanos', billing_nanos((t ->> 'reasoning_price')::numeric),
            'audio_output_nanos', billing_nanos((t ->> 'audio_output_price')::numeric)
        ) ORDER BY (t ->> 'above_tokens')::bigint) FROM jsonb_array_elements(tiers) t)
    )), '{}'::jsonb)
$$;

CREATE OR REPLACE FUNCTION billing_book_served_model() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_known boolean := NEW.input_price IS NOT NULL AND NEW.output_price IS NOT NULL;
BEGIN
    PERFORM billing_book_price(
        NEW.id, NEW.price_version, NEW.org_id,
        CASE WHEN is_known THEN billing_nanos(NEW.input_price) END,
        CASE WHEN is_known THEN billing_nanos(NEW.cached_input_price) END,
        CASE WHEN is_known THEN billing_nanos(NEW.output_price) END,
        CASE WHEN is_known THEN billing_nanos(NEW.request_price) ELSE 0 END,
        CASE WHEN is_known THEN billing_finer(NEW.cache_write_price, NEW.audio_input_price, NEW.reasoning_price,
                                              NEW.audio_output_price, NEW.price_tiers) END);
    RETURN NULL;
END $$;
CREATE TRIGGER billing_book AFTER INSERT OR UPDATE OF price_version, input_price, cached_input_price, output_price,
    request_price, cache_write_price, audio_input_price, reasoning_price, audio_output_price, price_tiers
    ON providers_servedmodel FOR EACH ROW EXECUTE FUNCTION billing_book_served_model();

CREATE OR REPLACE FUNCTION billing_book_node_model() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM billing_book_price(-NEW.id, NEW.price_version, NEW.org_id, NEW.input_price_nanos, NULL,
                               NEW.output_price_nanos, 0, NULL);
    RETURN NULL;
END $$;
CREATE TRIGGER billing_book AFTER INSERT OR UPDATE OF price_version, input_price_nanos, output_price_nanos
    ON nodes_nodemodel FOR EACH ROW EXECUTE FUNCTION billing_book_node_model();

-- What so many tokens cost by a price with finer rates, without what each request costs; as `common.rates` has it.
CREATE FUNCTION billing_finer_cost(fine jsonb, input_rate bigint, cached_rate bigint, output_rate bigint,
                                   input bigint, cached bigint, output bigint, details jsonb)
    RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    WITH met AS (
        SELECT coalesce(
            (SELECT t FROM jsonb_array_elements(fine -> 'tiers') t WHERE (t ->> 'above_tokens')::bigint < input
             ORDER BY (t ->> 'above_tokens')::bigint DESC LIMIT 1),
            fine || jsonb_build_object('input_nanos', input_rate, 'cached_input_nanos', cached_rate,
                                       'output_nanos', output_rate)) AS r
    ), rates AS (
        SELECT (r ->> 'input_nanos')::numeric AS i, (r ->> 'output_nanos')::numeric AS o,
            (r ->> 'cached_input_nanos')::numeric AS cached_rate, (r ->> 'cache_write_nanos')::numeric AS write_rate,
            (r ->> 'audio_input_nanos')::numeric AS heard_rate, (r ->> 'reasoning_nanos')::numeric AS thought_rate,
            (r ->> 'audio_output_nanos')::numeric AS spoken_rate,
            coalesce((details ->> 'cache_write')::bigint, 0) AS written,
            coalesce((details ->> 'audio_input')::bigint, 0) AS heard,
            coalesce((details ->> 'reasoning')::bigint, 0) AS thought,
            coalesce((details ->> 'audio_output')::bigint, 0) AS spoken
        FROM met
    )
    SELECT div((input - cached - written - heard) * i + cached * coalesce(rates.cached_rate, i)
        + written * coalesce(write_rate, i) + heard * coalesce(heard_rate, i)
        + (output - thought - spoken) * o + thought * coalesce(thought_rate, o)
        + spoken * coalesce(spoken_rate, o) + 500000, 1000000) FROM rates
$$;
"""

UNBOOK = f"""
DROP TRIGGER billing_book ON nodes_nodemodel;
DROP TRIGGER billing_book ON providers_servedmodel;
DROP FUNCTION billing_book_node_model();
DROP FUNCTION billing_book_served_model();
DROP FUNCTION billing_finer_cost(jsonb, bigint, bigint, bigint, bigint, bigint, bigint, jsonb);
DROP FUNCTION billing_finer(numeric, numeric, numeric, numeric, jsonb);
DROP FUNCTION billing_nanos(numeric);
DROP FUNCTION billing_book_price(bigint, integer, bigint, bigint, bigint, bigint, bigint, jsonb);
{import_module("billing.migrations.0002_rules").BOOK.partition("-- What is served already")[0]}
"""


class Migration(migrations.Migration):
    """The book holds finer prices, and charges hold what was used of each kind of tokens."""

    dependencies = [
        ("billing", "0009_own_parts_counted_anew"),
        ("metering", "0013_token_details"),
        ("providers", "0008_finer_prices"),
    ]

    operations = [
        migrations.AddField("priceversion", "finer", models.JSONField(null=True)),
        migrations.AddField("charge", "token_details", models.JSONField(null=True)),
        migrations.RunSQL(BOOK, UNBOOK),
        migrations.AddField(
            "voucher", "batch", models.CharField(blank=True, db_default="", db_index=True, max_length=40)
        ),
        migrations.AddField("voucher", "withdrawn_by", models.CharField(blank=True, db_default="", max_length=254)),
        migrations.AddField("autotopup", "cap_told_at", models.DateTimeField(null=True)),
    ]
