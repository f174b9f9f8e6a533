"""Routes are drafted, published in versions, and rolled back."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from accounts.constraints import same_organization


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0001_initial"),
        ("routing", "0003_cache_policies"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="route",
            constraint=models.UniqueConstraint(fields=("org", "id"), name="route_of_org"),
        ),
        migrations.CreateModel(
            name="RouteVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("content", models.JSONField()),
                ("restored", models.PositiveIntegerField(null=True)),
                ("actor_label", models.CharField(max_length=254)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("org", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.organization")),
                ("route", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="versions", to="routing.route")),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("route", "number"), name="version_once_per_route")]},
        ),
        migrations.CreateModel(
            name="RouteDraft",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(max_length=40, unique=True)),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                ("content", models.JSONField()),
                ("based_on", models.PositiveIntegerField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("org", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="accounts.organization")),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("org", "name"), name="draft_once_per_org")]},
        ),
        same_organization("routing_routeversion", "route_id", "routing_route"),
    ]
