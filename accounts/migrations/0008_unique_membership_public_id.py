import accounts.models
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_fill_membership_public_id")]

    operations = [
        migrations.AlterField(
            model_name="membership",
            name="public_id",
            field=models.CharField(default=accounts.models.new_membership_id, max_length=40, unique=True),
        ),
    ]
