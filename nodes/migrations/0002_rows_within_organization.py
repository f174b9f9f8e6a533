from django.db import migrations

from accounts.constraints import same_organization


class Migration(migrations.Migration):
    dependencies = [
        ("nodes", "0001_initial"),
    ]

    operations = [
        same_organization("nodes_node", "enrolled_with_id", "nodes_enrolmenttoken"),
        same_organization("nodes_nodemodel", "node_id", "nodes_node"),
        same_organization("nodes_nodeshare", "node_id", "nodes_node"),
    ]
