from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('nodes', '0003_tags'),
    ]

    operations = [
        migrations.AddField(
            model_name='node',
            name='origin',
            field=models.CharField(blank=True, max_length=300),
        ),
    ]
