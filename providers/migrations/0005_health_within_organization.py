from django.db import migrations

from accounts.constraints import same_organization


class Migration(migrations.Migration):
    dependencies = [
        ("providers", "0004_health"),
    ]

    operations = [
        same_organization("providers_pulse", "connection_id", "providers_connection"),
        same_organization("providers_probeday", "connection_id", "providers_connection"),
    ]
