"""Which invoice Stripe made of an automatic top-up."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_what_needs_a_person")]

    operations = [
        migrations.AddField("topup", "invoice_id", models.CharField(blank=True, db_default="", max_length=80)),
    ]
