from django.db import migrations

ADD = """
ALTER TABLE metering_usage
    ADD COLUMN cache varchar(4) NOT NULL DEFAULT '',
    ADD COLUMN saved_nanos bigint NOT NULL DEFAULT 0
"""
REMOVE = "ALTER TABLE metering_usage DROP COLUMN cache, DROP COLUMN saved_nanos"


class Migration(migrations.Migration):
    """The table is partitioned: columns added to it are added to its months."""

    dependencies = [("metering", "0004_usage_expiry")]

    operations = [migrations.RunSQL(ADD, REMOVE)]
