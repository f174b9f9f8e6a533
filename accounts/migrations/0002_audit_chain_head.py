from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="organization",
            name="audit_length",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="organization",
            name="audit_head",
            field=models.BinaryField(default=bytes(32), max_length=32),
        ),
    ]
