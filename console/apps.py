from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "console"
    verbose_name = "Console"

    def ready(self) -> None:
        from console import celery, checks  # noqa: F401  web processes hand tasks over too; registers them
