from django.db import migrations, models

ADD = "ALTER TABLE metering_usage ADD COLUMN token_details jsonb"
REMOVE = "ALTER TABLE metering_usage DROP COLUMN token_details"


class Migration(migrations.Migration):
    """Usage tells how many tokens were of which kind; exports count their failures."""

    dependencies = [("metering", "0012_usage_exports")]

    operations = [
        migrations.RunSQL(ADD, REMOVE),
        migrations.AddField("usageexport", "failures", models.SmallIntegerField(db_default=0)),
    ]
