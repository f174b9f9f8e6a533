from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_payments")]

    operations = [
        migrations.AddField("charge", "tokens_nanos", models.BigIntegerField(default=0, db_default=0)),
    ]
