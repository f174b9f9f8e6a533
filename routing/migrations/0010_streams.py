from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("routing", "0009_simulations")]

    operations = [
        migrations.AddField(
            model_name="route",
            name="continue_streams",
            field=models.BooleanField(default=False, verbose_name="continue broken streams"),
        ),
        migrations.AddField(model_name="route", name="hedge", field=models.JSONField(blank=True, null=True)),
    ]
