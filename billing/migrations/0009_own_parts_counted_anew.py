"""Requests that several targets answered, one of them an own one: their hours are summed anew, with what that one cost."""

from django.db import migrations

MARK = """
INSERT INTO metering_dirtybucket (org_id, hour)
SELECT DISTINCT org_id, date_trunc('hour', started_at, 'UTC') FROM billing_charge WHERE strpos(request_id, '#') > 0
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_monthly_statements"), ("metering", "0012_usage_exports")]

    operations = [migrations.RunSQL(MARK, migrations.RunSQL.noop)]
