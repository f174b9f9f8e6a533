from django.apps import AppConfig


class EarningsConfig(AppConfig):
    name = "billing.earnings"
    label = "earnings"
    verbose_name = "Earnings"

    def ready(self) -> None:
        from billing.earnings.reconciliation import INVARIANTS
        from ledger import invariants

        invariants.register(INVARIANTS)
