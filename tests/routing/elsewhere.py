"""Two organisations on a database of their own: `python -m tests.routing.elsewhere BASE_URL MODEL`.

Migrates what DATABASE_URL names and prints, as JSON, a key of each. Run as a process, since the tests' own Django is
bound to the tests' database.
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

    from tests.stack import make_tenant

    call_command("migrate", verbosity=0, interactive=False)
    tenants = [make_tenant(name) for name in ("First", "Second")]
    for tenant in tenants:
        tenant.connect(base_url, [model])
    print(json.dumps([{"org_id": tenant.org.pk, "api_key": tenant.api_key} for tenant in tenants]))


if __name__ == "__main__":
    main(*sys.argv[1:])
