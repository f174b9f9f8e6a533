from django.db import migrations

from accounts.constraints import same_organization


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_unique_within_organization"),
        ("providers", "0002_unique_within_organization"),
    ]

    operations = [
        same_organization("providers_connectionkey", "connection_id", "providers_connection"),
        same_organization("providers_servedmodel", "connection_id", "providers_connection"),
    ]
