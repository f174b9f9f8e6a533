"""A stream that goes on at another target is paid part by part out of the balance, and no part twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import APIError

from accounts.audit import Actor
from billing import credits
from billing.models import Charge
from common.ids import new_id
from common.money import NANOS_PER_USD
from ledger import kinds
from ledger.invariants import reconcile
from ledger.models import Account
from metering.models import Usage
from providers.models import Connection
from providers.services import create_connection, delete_connection
from routing.services import put_route
from tests.routing.test_continuation import MODEL, ROUTE, WHOLE, chunks, gateway, paced, row_of, tenant, text_of
from tests.routing.test_outages import eventually
from tests.stack import Tenant

__all__ = ["gateway", "paced", "tenant"]

SYSTEM = Actor.system("tests")
PRICES = (("1", "2"), ("3", "4"))


@pytest.fixture
def sold(tenant, paced) -> Iterator[list[Connection]]:
    """The platform's own: A and B."""
    made = [
        create_connection(
            None, SYSTEM, preset="custom", name=f"Sold {new_id('x')}", base_url=upstream.base_url,
            api_keys=["upstream-key"], models=[{"id": MODEL, "input_price": prices[0], "output_price": prices[1]}],
        )
        for upstream, prices in zip((paced.a, paced.b), PRICES, strict=True)
    ]  # fmt: skip
    yield made
    for connection in made:
        delete_connection(connection, SYSTEM)
    assert reconcile() == []


def own(tenant: Tenant, base_url: str) -> Connection:
    return tenant.connect(base_url, [{"id": MODEL, "input_price": "5", "output_price": "5"}])


def lead(tenant: Tenant, *connections: Connection) -> None:
    targets = [{"target": f"{connection.slug}/{MODEL}", "tier": n} for n, connection in enumerate(connections)]
    put_route(tenant.org, tenant.actor, ROUTE, {"targets": targets, "continue_streams": True})


def give(tenant: Tenant, nanos: int) -> None:
    credits.give(tenant.org, SYSTEM, nanos, purpose=new_id("gift"), reason="Test")


def is_paid(tenant: Tenant, given: int, row: Usage, parts: list[int]) -> bool:
    """The balance lost what these attempts cost, nothing is held, and each has a charge of its own."""
    wallet = Account.objects.get(org=tenant.org, kind=kinds.WALLET)
    costs = [row.attempts[at]["used"]["cost_nanos"] for at in parts]
    charges = Charge.objects.filter(org_id=tenant.org.pk).order_by("request_id")
    charged = [(charge.request_id, charge.charge_nanos, charge.written_off_nanos) for charge in charges]
    wanted = [(f"{row.request_id}#{at + 1}", cost, 0) for at, cost in zip(parts, costs, strict=True)]
    return charged == wanted and (wallet.balance, wallet.held) == (given - sum(costs), 0)


@pytest.mark.parametrize(
    ("places", "parts"),
    [(("sold", "sold"), [0, 1]), (("sold", "own"), [0]), (("own", "sold"), [1])],
    ids=["both are sold", "the first is sold", "the second is sold"],
)
def test_the_balance_pays_each_part_that_is_sold(client, tenant, paced, sold, places, parts):
    chosen = [
        connection if place == "sold" else own(tenant, upstream.base_url)
        for place, connection, upstream in zip(places, sold, (paced.a, paced.b), strict=True)
    ]
    lead(tenant, *chosen)
    give(tenant, NANOS_PER_USD)
    paced.a.fail("reset-midstream")
    assert text_of(chunks(client, max_tokens=100)) == WHOLE
    row = row_of(tenant)
    assert [attempt["outcome"] for attempt in row.attempts] == ["connection_lost", "ok"]
    eventually(lambda: is_paid(tenant, NANOS_PER_USD, row, parts), 15)


def test_a_balance_that_does_not_cover_the_prompt_again_ends_it(client, tenant, paced, sold):
    """$0.0006 cover the first call, of $0.0006 at most, and not another prompt beside it."""
    lead(tenant, *sold)
    give(tenant, 600_000)
    paced.a.fail("reset-midstream")
    with pytest.raises(APIError, match="broke off"):
        chunks(client, max_tokens=100)
    assert not paced.b.log.posts
    row = row_of(tenant)
    wallet = Account.objects.filter(org=tenant.org, kind=kinds.WALLET)
    eventually(lambda: wallet.values_list("balance", "held").get() == (600_000 - row.cost_nanos, 0), 15)


def test_an_own_target_goes_on_when_the_balance_is_spent(client, tenant, paced, sold):
    lead(tenant, sold[0], sold[1], own(tenant, paced.c.base_url))
    give(tenant, 600_000)
    paced.a.fail("reset-midstream")
    assert text_of(chunks(client, max_tokens=100)) == WHOLE
    assert not paced.b.log.posts
    row = row_of(tenant)
    eventually(lambda: is_paid(tenant, 600_000, row, [0]), 15)
