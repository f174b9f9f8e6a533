from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Billing"

    def ready(self) -> None:
        from billing.reconciliation import INVARIANTS
        from ledger import invariants

        invariants.register(INVARIANTS)
