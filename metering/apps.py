from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class MeteringConfig(AppConfig):
    name = "metering"
    verbose_name = "Metering"

    def ready(self) -> None:
        post_migrate.connect(_ensure_partitions, sender=self)


def _ensure_partitions(**_: Any) -> None:
    """A database that was just made or migrated takes usage before the first run of the scheduled task."""
    from metering import partitions

    if partitions.table_exists():
        partitions.ensure_partitions()
