"""What the operator's people have to look at, told once."""

from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("billing", "0013_what_stripe_was_asked")]

    operations = [
        migrations.CreateModel(
            name="Concern",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=20)),
                ("subject", models.CharField(max_length=80)),
                ("org_id", models.BigIntegerField(null=True)),
                ("raised_at", models.DateTimeField(db_default=Now())),
                ("told_at", models.DateTimeField(null=True)),
                ("done_at", models.DateTimeField(null=True)),
                ("done_by", models.CharField(blank=True, max_length=254)),
            ],
        ),
        migrations.AddConstraint(
            model_name="concern",
            constraint=models.UniqueConstraint(fields=["kind", "subject"], name="billing_concern_once"),
        ),
        migrations.AddIndex(
            model_name="concern",
            index=models.Index(condition=Q(done_at=None), fields=["raised_at"], name="billing_concern_open"),
        ),
        migrations.AddIndex(
            model_name="unsettled",
            index=models.Index(fields=["noted_at"], name="billing_unsettled_noted"),
        ),
    ]
