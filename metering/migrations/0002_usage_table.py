from django.db import migrations

CREATE = """
CREATE TABLE metering_usage (
    started_at timestamptz NOT NULL,
    request_id varchar(40) NOT NULL,
    org_id bigint NOT NULL,
    key_id bigint,
    user_id bigint,
    endpoint varchar(30) NOT NULL,
    model varchar(200) NOT NULL,
    route varchar(200) NOT NULL DEFAULT '',
    target varchar(260) NOT NULL DEFAULT '',
    target_id bigint,
    status smallint NOT NULL,
    error_code varchar(40) NOT NULL DEFAULT '',
    stream boolean NOT NULL DEFAULT false,
    finish_reason varchar(20) NOT NULL DEFAULT '',
    usage_source varchar(10) NOT NULL,
    billing_reason varchar(30) NOT NULL,
    input_tokens bigint NOT NULL DEFAULT 0,
    cached_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    cost_nanos bigint NOT NULL DEFAULT 0,
    price_version integer,
    attempts jsonb NOT NULL DEFAULT '[]',
    attempt_count smallint NOT NULL DEFAULT 0,
    duration_ms integer NOT NULL DEFAULT 0,
    ttft_ms integer,
    overhead_us integer,
    sdk_retry smallint NOT NULL DEFAULT 0,
    user_agent varchar(120) NOT NULL DEFAULT '',
    metadata jsonb,
    ingested_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (started_at, request_id),
    CONSTRAINT usage_started_at_is_finite CHECK (isfinite(started_at)),
    CONSTRAINT usage_tokens_not_negative CHECK (input_tokens >= 0 AND cached_tokens >= 0 AND output_tokens >= 0),
    CONSTRAINT usage_cost_not_negative CHECK (cost_nanos >= 0)
) PARTITION BY RANGE (started_at);

CREATE INDEX usage_org_log ON metering_usage (org_id, started_at DESC, request_id DESC);
CREATE INDEX usage_key ON metering_usage (key_id, started_at DESC) WHERE key_id IS NOT NULL;
CREATE INDEX usage_target ON metering_usage (target_id, started_at DESC) WHERE target_id IS NOT NULL;

-- Rows of months that have no partition of their own: stray dates, or a month nobody prepared.
CREATE TABLE metering_usage_stray PARTITION OF metering_usage DEFAULT;
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, "DROP TABLE metering_usage")]
