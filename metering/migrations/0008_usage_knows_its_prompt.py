from django.db import migrations

ADD = "ALTER TABLE metering_usage ADD COLUMN prompt_hash bigint NOT NULL DEFAULT 0"
REMOVE = "ALTER TABLE metering_usage DROP COLUMN prompt_hash"


class Migration(migrations.Migration):
    """A column with a constant default: PostgreSQL rewrites no row, in the table or its months."""

    dependencies = [("metering", "0007_sum_attempts_of_what_is_kept")]

    operations = [migrations.RunSQL(ADD, REMOVE)]
