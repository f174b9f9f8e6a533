from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_rules")]

    operations = [
        migrations.AddField(
            model_name="lessee", name="journal", field=models.CharField(max_length=60, db_default="")
        ),
    ]
