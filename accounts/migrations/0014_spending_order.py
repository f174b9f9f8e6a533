import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0013_content_logging")]

    operations = [
        migrations.AddField(
            "organization",
            "spending_order",
            models.CharField(db_default="tokens_first", max_length=20, verbose_name="what pays first"),
        ),
        migrations.AddField(
            "organization",
            "credit_backup",
            models.BooleanField(db_default=True, verbose_name="credits pay when tokens are used up"),
        ),
        migrations.AddField(
            "organization",
            "credit_backup_unlike",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=200), blank=True, db_default=[], default=list, size=None
            ),
        ),
    ]
