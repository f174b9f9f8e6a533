"""When Stripe was asked: about accounts that it has not verified, orders that are not paid, and all its events."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_charges_are_kept")]

    operations = [
        migrations.AddField(
            model_name="payee",
            name="looked_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="topup",
            name="asked_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.CreateModel(
            name="EventsRead",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("until", models.DateTimeField()),
            ],
        ),
    ]
