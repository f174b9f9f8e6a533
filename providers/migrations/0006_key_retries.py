from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("providers", "0005_health_within_organization"),
    ]

    operations = [
        migrations.AddField(
            model_name='connectionkey',
            name='retries',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='connectionkey',
            name='retry_at',
            field=models.DateTimeField(blank=True, help_text='when a parked key is tried again', null=True),
        ),
    ]
