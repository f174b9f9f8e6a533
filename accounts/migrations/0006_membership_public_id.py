import accounts.models
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_audit_append_only")]

    operations = [
        migrations.AddField(
            model_name="membership",
            name="public_id",
            field=models.CharField(default=accounts.models.new_membership_id, max_length=40, null=True),
        ),
    ]
