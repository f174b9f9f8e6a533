"""When Stripe was last asked about an account that it has not verified yet."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0011_tiers_of_machines")]

    operations = [
        migrations.AddField(
            model_name="payee",
            name="looked_at",
            field=models.DateTimeField(null=True),
        ),
    ]
