"""What was published or drafted before there were rules has none."""

from django.db import migrations


def say_so(apps, schema_editor):
    database = schema_editor.connection.alias
    for name in ("RouteVersion", "RouteDraft"):
        rows = apps.get_model("routing", name).objects.using(database)
        for row in rows.iterator():
            if "rules" not in row.content:
                row.content = {**row.content, "rules": []}
                row.save(update_fields=["content"])


class Migration(migrations.Migration):

    dependencies = [("routing", "0007_rules")]

    operations = [migrations.RunPython(say_so, migrations.RunPython.noop)]
