"""A machine of the community earns by what a stranger asks, and loses what it lied about: agents, gateway, ledger."""

from __future__ import annotations

from datetime import date

from django.utils import timezone
from openai import OpenAI

from accounts.audit import Actor
from accounts.organizations import update_organization
from billing.credits import give
from billing.earnings import cases, figures, programmes
from billing.earnings.models import Case
from billing.statements import balance
from common.money import NANOS_PER_USD
from ledger.invariants import reconcile
from metering.models import Usage
from metering.tokens import count_tokens
from nodes.models import NodeDoubt
from nodes.services import handle_of, update_node
from tests.fakes.ollama import WORDS, ollama
from tests.nodes_e2e.conftest import ASK, browser_of, until_served
from tests.nodes_e2e.machines import until
from tests.stack import Tenant, make_tenant

MODEL = "generous:1b"
LIE = {"prompt_tokens": 9000, "completion_tokens": 5000, "total_tokens": 14000}
PROMPT_NANOS = 1000 * count_tokens(ASK["messages"][0]["content"])
PAID = PROMPT_NANOS + 4000 * count_tokens("".join(WORDS))
PAID_OF_TWO = PROMPT_NANOS + 4000 * 2
"""Nano-USD for what the gateway counts, at $1 and $4 per million tokens; where two tokens were asked for, of two."""


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
        assert figures.balances(tenant.org).escrow == asked * PAID_OF_TWO * 7 // 10
        programmes.choose(tenant.org, tenant.actor, {"exchanged_percent": 100})
        with OpenAI(base_url=console.base_url, api_key=guest.api_key, max_retries=2, timeout=30) as client:
            told = client.chat.completions.create(model=name, **ASK).usage
        until(lambda: served(tenant) == asked + 1, what=lambda: f"{served(tenant)} of {asked + 1}")
        assert figures.balances(tenant.org).tokens == PAID * 7 // 10
        assert balance(guest.org).total == NANOS_PER_USD - asked * PAID_OF_TWO - PAID
        row = Usage.objects.filter(org_id=guest.org.pk, target=name).latest("started_at")
        assert (row.usage_source, row.cost_nanos) == ("counted", PAID)
        assert (row.input_tokens, row.output_tokens) == (told.prompt_tokens, told.completion_tokens)
        until(lambda: NodeDoubt.objects.of(tenant.org).exists(), what=lambda: "nothing was doubted")
    cases.look(timezone.now())
    case = cases.uphold(Case.objects.get(org=tenant.org), staff, "Counted again.")
    assert case.taken > 0
    assert balance(guest.org).total == NANOS_PER_USD - asked * PAID_OF_TWO - PAID + case.refunded
    assert reconcile() == []


def served(owner: Tenant) -> int:
    return figures.course_of(owner.org, date(2000, 1, 1), date(2100, 1, 1)).total.requests
