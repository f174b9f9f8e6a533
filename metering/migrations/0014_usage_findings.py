import django.db.models.deletion
from django.db import migrations, models

# A request that was answered although its first target failed: Home asks whether there ever was one. Few rows are.
SURVIVED = """
CREATE INDEX usage_survived ON metering_usage (org_id) WHERE attempt_count > 1 AND status < 400;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0010_limits"), ("metering", "0013_token_details")]

    operations = [
        migrations.CreateModel(
            name="UsageFindings",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("window", models.CharField(max_length=4)),
                ("found", models.JSONField(null=True)),
                ("found_at", models.DateTimeField(null=True)),
                ("begun_at", models.DateTimeField(null=True)),
                (
                    "org",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.organization"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("org", "window"), name="usage_findings_once")]
            },
        ),
        migrations.RunSQL(SURVIVED, "DROP INDEX usage_survived"),
    ]
