import django.db.models.deletion
from django.db import migrations, models

VIEW = """
CREATE VIEW metering_settled (request_id, paid_nanos) AS SELECT NULL::varchar(40), NULL::bigint WHERE false
"""
# Where usage is gone, what was known of its cost stays; all else is summed anew.
FILL = """
UPDATE metering_rollup SET own_nanos = cost_nanos;
INSERT INTO metering_dirtybucket (org_id, hour)
SELECT DISTINCT org_id, date_trunc('hour', started_at, 'UTC') FROM metering_usage
"""
# Few requests needed a second attempt: Home asks whether there was one.
SAVED = "CREATE INDEX usage_saved ON metering_usage (org_id) WHERE attempt_count > 1 AND status < 400"


def _figure(name):
    return migrations.AddField("rollup", name, models.BigIntegerField(db_default=0))


def _spread(name):
    field = models.DecimalField(db_default=0, decimal_places=0, max_digits=588)
    return migrations.AddField("rollup", name, field)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0010_limits"), ("metering", "0010_content")]

    operations = [
        *map(_figure, ("hits", "saved_nanos", "charged_nanos", "own_nanos")),
        *map(_spread, ("duration_spread", "ttft_spread")),
        migrations.CreateModel(
            name="RollupZone",
            fields=[
                (
                    "org",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="accounts.organization",
                    ),
                ),
                ("zone", models.CharField(max_length=60)),
            ],
            options={"abstract": False},
        ),
        migrations.RunSQL(VIEW, "DROP VIEW metering_settled"),
        migrations.RunSQL(SAVED, "DROP INDEX usage_saved"),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
