from common.ids import new_id
from django.db import migrations


def fill(apps, schema_editor):
    memberships = apps.get_model("accounts", "Membership")
    for membership in memberships.objects.iterator(chunk_size=1000):
        memberships.objects.filter(pk=membership.pk).update(public_id=new_id("mem"))


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_membership_public_id")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
