"""A machine of the community earns by what a stranger asks, and loses what it lied about: agents, gateway, ledger."""

from __future__ import annotations

from datetime import date

from django.utils import timezone
from openai import OpenAI

from accounts.audit import Actor
from accounts.organizations import update_organization
from billing.credits import give
from billing.earnings import cases, figures, programmes
from billing.earnings.models import EXCHANGE, Case
from billing.statements import balance
from common.money import NANOS_PER_USD
from nodes.models import NodeDoubt
from nodes.services import handle_of, update_node
from tests.fakes.ollama import ollama
from tests.nodes_e2e.conftest import ASK, browser_of, until_served
from tests.nodes_e2e.machines import until
from tests.stack import Tenant, make_tenant

MODEL = "generous:1b"
LIE = {"prompt_tokens": 9000, "completion_tokens": 5000, "total_tokens": 14000}
PAID = 9000 * 1000 + 5000 * 4000
"""Nano-USD for that at $1 and $4 per million tokens."""


def test_what_strangers_pay_is_earned_and_what_was_a_lie_goes_back(console, tenant, http, make_machine):
    guest, staff, statuses = make_tenant("Guest"), Actor.system("staff"), list[int]()
    update_organization(guest.org, guest.actor, uses_community_nodes=True)
    give(guest.org, staff, NANOS_PER_USD, purpose="welcome", reason="Welcome")
    with ollama(MODEL) as server:
        server.usage = LIE
        box = make_machine(f"http://{server.address}")
        until_served(http, f"node/box/{MODEL}")  # by its owner, which earns nothing
        prices = {"upstream_id": MODEL, "input_price": "1", "output_price": "4"}
        update_node(box.row, tenant.actor, {"visibility": "community", "models": [prices]})
        name = f"node/{handle_of(box.row)}/{MODEL}"
        with browser_of(console, guest) as theirs:
            theirs.event_hooks = {"response": [lambda answer: statuses.append(answer.status_code)]}
            until_served(theirs, name)
        asked = statuses.count(200)
        until(lambda: served(tenant) == asked, what=lambda: f"{served(tenant)} of {asked}")
        assert figures.balances(tenant.org).escrow == asked * PAID * 7 // 10
        programmes.choose(tenant.org, tenant.actor, {"kind": EXCHANGE})
        with OpenAI(base_url=console.base_url, api_key=guest.api_key, max_retries=2, timeout=30) as client:
            client.chat.completions.create(model=name, **ASK)
        until(lambda: served(tenant) == asked + 1, what=lambda: f"{served(tenant)} of {asked + 1}")
        assert figures.balances(tenant.org).tokens == PAID * 7 // 10
        assert balance(guest.org).total == NANOS_PER_USD - (asked + 1) * PAID
        until(lambda: NodeDoubt.objects.of(tenant.org).exists(), what=lambda: "nothing was doubted")
    cases.look(timezone.now())
    case = cases.uphold(Case.objects.get(org=tenant.org), staff, "Counted again.")
    assert case.taken > PAID // 2
    assert balance(guest.org).total == NANOS_PER_USD - (asked + 1) * PAID + case.refunded


def served(owner: Tenant) -> int:
    return figures.course_of(owner.org, date(2000, 1, 1), date(2100, 1, 1)).total.requests
