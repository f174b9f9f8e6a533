from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Billing"

    def ready(self) -> None:
        from accounts import organizations
        from billing.reconciliation import INVARIANTS, KEPT
        from billing.welcome import welcome
        from ledger import invariants, kept

        invariants.register(INVARIANTS)
        kept.keep(KEPT)
        organizations.created.connect(welcome, dispatch_uid="billing.welcome")
