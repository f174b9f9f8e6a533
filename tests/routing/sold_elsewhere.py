"""An organisation with money on a database of its own: `python -m tests.routing.sold_elsewhere BASE_URL MODEL`.

Migrates what DATABASE_URL names, has the platform sell the model at a ten thousandth of a dollar for each token of an
answer, and prints, as JSON, a key of the organisation. Run as a process, since the tests' own Django is bound to the
tests' database.
"""

from __future__ import annotations

import json
import os
import sys


def main(base_url: str, model: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django

    django.setup()
    from django.core.management import call_command

    from accounts.audit import Actor
    from billing import credits
    from common.money import NANOS_PER_USD
    from providers.services import create_connection
    from tests.stack import make_tenant

    call_command("migrate", verbosity=0, interactive=False)
    system, tenant = Actor.system("tests"), make_tenant("Acme")
    sold = {"id": model, "input_price": "0", "output_price": "100"}
    create_connection(
        None, system, preset="custom", name="Sold", base_url=base_url, api_keys=["upstream-key"], models=[sold]
    )
    credits.give(tenant.org, system, 1_000 * NANOS_PER_USD, purpose="test", reason="Test")
    print(json.dumps({"org_id": tenant.org.pk, "api_key": tenant.api_key}))


if __name__ == "__main__":
    main(*sys.argv[1:])
