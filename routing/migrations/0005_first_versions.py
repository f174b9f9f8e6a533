"""Each route that stands is its own first version."""

from django.db import migrations

FIELDS = ("strategy", "targets", "timeouts", "enabled", "private", "spill_over")


def keep_what_is_live(apps, schema_editor):
    route, version = apps.get_model("routing", "Route"), apps.get_model("routing", "RouteVersion")
    database = schema_editor.connection.alias
    for row in route.objects.using(database).iterator():
        version.objects.using(database).create(
            org_id=row.org_id,
            route=row,
            number=1,
            content={name: getattr(row, name) for name in FIELDS},
            actor_label="system",
            created_at=row.updated_at,
        )


class Migration(migrations.Migration):

    dependencies = [("routing", "0004_route_versions")]

    operations = [migrations.RunPython(keep_what_is_live, migrations.RunPython.noop)]
