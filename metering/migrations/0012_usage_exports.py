import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now

ORG = dict(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.organization")
ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0010_limits"), ("metering", "0011_rollups_carry_charges_and_spreads")]

    operations = [
        migrations.CreateModel(
            name="UsageExport",
            fields=[
                ("id", ID),
                ("public_id", models.CharField(max_length=40, unique=True)),
                ("actor_label", models.CharField(max_length=254)),
                ("format", models.CharField(max_length=4)),
                ("begins_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("narrowed", models.JSONField(default=dict)),
                ("state", models.CharField(default="waiting", max_length=10)),
                ("total", models.BigIntegerField(default=0)),
                ("done", models.BigIntegerField(default=0)),
                ("size_bytes", models.BigIntegerField(default=0)),
                ("position", models.JSONField(default=list)),
                ("created_at", models.DateTimeField(db_default=Now())),
                ("worked_at", models.DateTimeField(db_default=Now())),
                ("expires_at", models.DateTimeField()),
                ("org", models.ForeignKey(**ORG)),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="ExportPiece",
            fields=[
                ("id", ID),
                ("number", models.IntegerField()),
                ("lines", models.BinaryField()),
                (
                    "export",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="pieces", to="metering.usageexport"
                    ),
                ),
                ("org", models.ForeignKey(**ORG)),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("export", "number"), name="export_piece_once")]},
        ),
    ]
