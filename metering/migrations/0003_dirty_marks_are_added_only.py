from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("metering", "0002_usage_table")]

    operations = [
        migrations.RemoveConstraint(model_name="dirtybucket", name="dirty_bucket_once"),
        migrations.AddIndex(
            model_name="dirtybucket",
            index=models.Index(fields=["org_id", "hour"], name="dirty_bucket_org_hour"),
        ),
    ]
