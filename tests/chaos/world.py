"""Who pays and who earns, on a database of their own: `python -m tests.chaos.world make '{...}'`, `share`, `finish`.

Run as processes, since the tests' own Django is bound to the tests' database.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

GIVEN_USD = 1_000
BUDGET_USD = 900
TOKEN_PRICE = "100"
"""In dollars for a million, of an answer; a ten thousandth of a dollar for each."""
SOLD, KEPT, OWN = "sold-chat", "kept-chat", "own-chat"
MODELS = [SOLD, KEPT, OWN]
SHARED = "shared-chat"
"""Of a machine of somebody else's."""
MONTHLY, ASKING, RIPENING = "monthly", "asking", "ripening"
ROUNDS = 50
MACHINES_OWNER = "Owner of a machine"
SHARED_WITHIN_S = 60.0


def make(told: dict[str, Any]) -> dict[str, Any]:
    """
    Args:
        told: `base_url` of the upstream, and `payees`: of each the account at Stripe, how it is paid, and how many
            dollars it earned.

    Returns:
        The keys of who asks and of who buys, for each payee a key that may ask for a payout, and the token with which
        a machine comes in.
    """
    from django.core.management import call_command

    from accounts.audit import Actor
    from accounts.limits import set_limits
    from accounts.organizations import update_organization
    from accounts.scopes import ORGANISATION
    from billing import credits
    from common.money import NANOS_PER_USD
    from nodes.enrolment import create_token
    from providers.services import create_connection
    from routing.cache_services import put_policy
    from tests.stack import make_tenant

    call_command("migrate", verbosity=0, interactive=False)
    system, tenant = Actor.system("tests"), make_tenant("Acme")
    create_connection(
        None, system, preset="custom", name="Sold", base_url=told["base_url"], api_keys=["upstream-key"],
        models=[{"id": model, "input_price": "0", "output_price": TOKEN_PRICE} for model in (SOLD, KEPT)],
    )  # fmt: skip
    tenant.connect(told["base_url"], [{"id": OWN, "input_price": "0", "output_price": TOKEN_PRICE}])
    put_policy(tenant.org, tenant.actor, scope="model", subject=KEPT, ttl_s=600)
    set_limits(
        tenant.org,
        tenant.actor,
        ORGANISATION,
        wishes={"budgets": [{"amount_usd": str(BUDGET_USD), "window": "lifetime"}]},
    )
    credits.give(tenant.org, system, GIVEN_USD * NANOS_PER_USD, purpose="test", reason="Test")
    update_organization(tenant.org, tenant.actor, uses_community_nodes=True)
    owner = make_tenant(MACHINES_OWNER)
    return {
        "api_key": tenant.api_key,
        "buyer": tenant.new_key(scopes=["manage"])[1],
        "payees": [_payee(*payee) for payee in told["payees"]],
        "machine_token": create_token(owner.org, owner.actor).plain,
    }


def share(told: dict[str, Any]) -> dict[str, Any]:
    """Offers the machine to the community as soon as it has told of its model. Returns: by which name it is asked."""
    from accounts.audit import Actor
    from nodes.models import Node, NodeModel
    from nodes.services import handle_of, update_node
    from tests.ownredis import eventually

    eventually(NodeModel.objects.filter(upstream_id=SHARED).exists, SHARED_WITHIN_S)
    node = Node.objects.get()
    prices = {"upstream_id": SHARED, "input_price": "0", "output_price": TOKEN_PRICE}
    update_node(node, Actor.system("tests"), {"visibility": "community", "max_concurrent": 6, "models": [prices]})
    return {"model": f"node/{handle_of(node)}/{SHARED}"}


def _payee(account: str, kind: str, dollars: int) -> str:
    from billing.models import Payee
    from tests.billing.payees import DOLLAR, earn
    from tests.stack import make_tenant

    owner = make_tenant(f"Owner {account}")
    earn(owner.org, dollars * DOLLAR, is_matured=kind != RIPENING)
    Payee.objects.create(
        org=owner.org, method=Payee.STRIPE, stripe_id=account, state=Payee.READY, country="TH",
        is_monthly=kind == MONTHLY,
    )  # fmt: skip
    return owner.new_key(scopes=["manage"])[1]


def finish(told: dict[str, Any]) -> dict[str, Any]:
    """The next rounds of the tasks, as if the pauses between attempts were over.

    Returns: how much is left to do: payouts still open, events of payments, hours to be summed.
    """
    from django.utils import timezone

    from billing import events, payouts
    from metering import rollups
    from metering.models import DirtyBucket

    for _ in range(ROUNDS):
        if not payouts.send_due(now=timezone.now() + timedelta(days=1)):
            break
    events.find_missed()
    rollups.roll_up()
    return {"open": payouts.send_due(), "events": events.handle_waiting(), "unsummed": DirtyBucket.objects.count()}


VERBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"make": make, "share": share, "finish": finish}


def main(verb: str, told: str = "{}") -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django

    django.setup()
    print(json.dumps(VERBS[verb](json.loads(told))))


if __name__ == "__main__":
    main(*sys.argv[1:])
