from django.db import migrations

from accounts.constraints import same_organization


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_unique_within_organization"),
    ]

    operations = [same_organization("accounts_apikey", "replaces_id", "accounts_apikey")]
