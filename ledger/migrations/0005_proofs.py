import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_entries_know_their_kind")]

    operations = [
        migrations.CreateModel(
            name="Proof",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("started_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("ended_at", models.DateTimeField(null=True)),
                ("took_s", models.JSONField(default=dict)),
                ("findings", models.JSONField(default=list)),
                ("told_at", models.DateTimeField(null=True)),
            ],
            options={"indexes": [models.Index(fields=["-started_at"], name="ledger_proof_newest")]},
        ),
    ]
