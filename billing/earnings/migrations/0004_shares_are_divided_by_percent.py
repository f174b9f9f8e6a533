"""A share is divided by percentages: whoever exchanged all of it goes on doing so, and gifts stay as they were."""

import django.core.validators
from django.db import migrations, models

KEEP = "UPDATE earnings_programme SET exchanged_percent = 100 WHERE kind = 'exchange'"
BACK = """
UPDATE earnings_programme SET kind = CASE
    WHEN donated_percent > 0 THEN 'mission' WHEN exchanged_percent = 100 THEN 'exchange' ELSE 'rewards' END
"""


class Migration(migrations.Migration):
    dependencies = [("earnings", "0003_cases_keep_their_share")]

    operations = [
        migrations.AddField(
            model_name="programme",
            name="exchanged_percent",
            field=models.PositiveSmallIntegerField(
                default=0, validators=[django.core.validators.MaxValueValidator(100)]
            ),
        ),
        migrations.RemoveConstraint(model_name="programme", name="earnings_programme_percent"),
        migrations.RunSQL(KEEP, BACK),
        migrations.RemoveField(model_name="programme", name="kind"),
        migrations.AlterField(
            model_name="programme",
            name="donated_percent",
            field=models.PositiveSmallIntegerField(
                default=0, validators=[django.core.validators.MaxValueValidator(100)]
            ),
        ),
        migrations.AddConstraint(
            model_name="programme",
            constraint=models.CheckConstraint(
                condition=(models.Q(donated_percent=0) | models.Q(donated_percent__gte=10))
                & models.Q(exchanged_percent__gte=0, exchanged_percent__lte=100 - models.F("donated_percent")),
                name="earnings_programme_divided",
            ),
        ),
    ]
