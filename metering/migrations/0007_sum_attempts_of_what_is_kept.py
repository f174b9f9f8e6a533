"""Marks every hour whose usage is still there, so that the next rollup sums its attempts."""

from django.db import migrations

MARK = """
    INSERT INTO metering_dirtybucket (org_id, hour)
    SELECT DISTINCT org_id, date_trunc('hour', started_at, 'UTC') FROM metering_usage
"""


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0006_attempt_sums"),
    ]

    operations = [
        migrations.RunSQL(MARK, migrations.RunSQL.noop),
    ]
