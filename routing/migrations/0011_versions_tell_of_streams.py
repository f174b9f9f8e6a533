"""What was published or drafted before a stream could go on elsewhere, or be hedged, does neither."""

from django.db import migrations


def say_so(apps, schema_editor):
    database = schema_editor.connection.alias
    for name in ("RouteVersion", "RouteDraft"):
        for row in apps.get_model("routing", name).objects.using(database).iterator():
            row.content = {"continue_streams": False, "hedge": None, **row.content}
            row.save(update_fields=["content"])


class Migration(migrations.Migration):
    dependencies = [("routing", "0010_streams")]

    operations = [migrations.RunPython(say_so, migrations.RunPython.noop)]
