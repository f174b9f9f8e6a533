from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Billing"

    def ready(self) -> None:
        from accounts import organizations
        from billing.reconciliation import INVARIANTS
        from billing.welcome import welcome
        from ledger import invariants

        invariants.register(INVARIANTS)
        organizations.created.connect(welcome, dispatch_uid="billing.welcome")
