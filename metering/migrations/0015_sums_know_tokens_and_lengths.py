"""Sums of usage tell what own tokens paid from what credits paid, and what long prompts came to.

Who settles says which is which, in the view `metering_settled`; hours with long prompts are summed anew.
"""

from django.db import migrations, models

LONG = """
INSERT INTO metering_dirtybucket (org_id, hour)
SELECT DISTINCT org_id, date_trunc('hour', started_at, 'UTC') FROM metering_usage WHERE input_tokens > 4000
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0014_usage_findings")]

    operations = [
        migrations.AddField("rollup", "tokens_nanos", models.BigIntegerField(db_default=0)),
        migrations.AddField(
            "rollup", "long_prompts", models.DecimalField(db_default=0, decimal_places=0, max_digits=912)
        ),
        migrations.RunSQL(LONG, migrations.RunSQL.noop),
    ]
