import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now

# Transfers are numbered as they come, and so are their charges: a few bytes for a thousand of them.
INDEX = "CREATE INDEX billing_charge_transfer ON billing_charge USING brin (transfer_id) WITH (pages_per_range = 32)"
KEEP = """
CREATE TRIGGER billing_statement_append_only BEFORE UPDATE OR DELETE ON billing_monthlystatement
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
ALTER TABLE billing_monthlystatement ENABLE ALWAYS TRIGGER billing_statement_append_only;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0010_limits"),
        ("billing", "0007_usage_sums_know_charges"),
        ("ledger", "0002_rules"),
    ]

    operations = [
        migrations.CreateModel(
            name="MonthlyStatement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(max_length=40, unique=True)),
                ("month", models.DateField()),
                ("zone", models.CharField(max_length=60)),
                ("document", models.JSONField()),
                ("cuts", models.JSONField()),
                ("closed_at", models.DateTimeField(db_default=Now())),
                (
                    "org",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.organization"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("org", "month"), name="billing_statement_once_a_month")
                ],
            },
        ),
        migrations.RunSQL(INDEX, "DROP INDEX billing_charge_transfer"),
        migrations.RunSQL(KEEP, "DROP TRIGGER billing_statement_append_only ON billing_monthlystatement"),
    ]
