import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_uses_community_nodes")]

    operations = [
        migrations.CreateModel(
            name="Limit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("scope", models.CharField(max_length=20)),
                ("subject", models.CharField(blank=True, max_length=260)),
                ("rpm", models.BigIntegerField(blank=True, null=True, verbose_name="requests per minute")),
                ("rpd", models.BigIntegerField(blank=True, null=True, verbose_name="requests per day")),
                ("tpm", models.BigIntegerField(blank=True, null=True, verbose_name="tokens per minute")),
                ("tpd", models.BigIntegerField(blank=True, null=True, verbose_name="tokens per day")),
                ("concurrency", models.BigIntegerField(blank=True, null=True, verbose_name="requests at a time")),
                (
                    "org",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.organization"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("org", "scope", "subject"), name="limit_once_per_subject")
                ],
            },
        ),
    ]
