from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_money_out_and_in_by_itself")]

    operations = [
        migrations.AddField("charge", "tokens_nanos", models.BigIntegerField(default=0, db_default=0)),
    ]
