from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_audit_chain_head"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.UniqueConstraint(fields=("org", "id"), name="apikey_of_org"),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.UniqueConstraint(fields=("org", "id"), name="membership_of_org"),
        ),
        migrations.AddConstraint(
            model_name="invitation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("accepted_at", None), ("revoked_at", None)),
                fields=("org", "email"),
                name="invitation_open_once",
            ),
        ),
    ]
