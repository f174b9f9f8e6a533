from django.db import migrations, models

NAMES = ("cache_write_price", "audio_input_price", "reasoning_price", "audio_output_price")


def price() -> models.DecimalField:
    return models.DecimalField(max_digits=16, decimal_places=6, null=True, blank=True)


class Migration(migrations.Migration):
    """Prices of kinds of tokens, and tiers of long prompts."""

    dependencies = [("providers", "0007_alerts")]

    operations = [
        *(migrations.AddField("servedmodel", name, price()) for name in NAMES),
        migrations.AddField("servedmodel", "price_tiers", models.JSONField(blank=True, default=list)),
    ]
