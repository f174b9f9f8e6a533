"""Tiers of a machine's price: entered by its owner, held, charged and shared by the gateway, and proven."""

from __future__ import annotations

from django.urls import reverse

from billing.models import Charge, PriceVersion
from common.money import request_cost_nanos
from nodes.models import NodeModel
from nodes.services import update_node
from nodes.sources import load_targets

TIER = {"above_tokens": 1_500, "input_price": "2", "output_price": "8"}
LONG_COSTS = 2_000 * 2_000 + 500 * 8_000
SHORT_COSTS = 1_000 * 1_000 + 500 * 4_000


def test_long_prompts_cost_their_tier(served, machine, as_mallory, rival, balances):
    update_node(machine.node, as_mallory, {"models": [{"upstream_id": machine.upstream_id, "price_tiers": [TIER]}]})
    [target] = load_targets(rival.pk, uses_community=False)
    for request_id, tokens, costs in (("req_1", 2_000, LONG_COSTS), ("req_2", 1_000, SHORT_COSTS)):
        usage = served(
            request_id, price_version=target.price.version, input_tokens=tokens, cached_tokens=0, output_tokens=500
        )
        assert request_cost_nanos(usage, target.price) == costs
        assert Charge.objects.get(request_id=request_id).charge_nanos == costs
    assert balances()["rival rewards_escrow"] == (LONG_COSTS + SHORT_COSTS) * 7 // 10
    assert PriceVersion.objects.get(target_id=-machine.pk, version=2).finer is None


def test_an_owner_sets_tiers_on_the_page_and_sees_earlier_ones(client_of, mallory, machine):
    browser, address = client_of(mallory), reverse("earnings-prices")
    sent = {
        "node": machine.node.public_id,
        "upstream_id": machine.upstream_id,
        "input_price": "1",
        "output_price": "4",
    }
    rows = {f"tier-0-{name}": str(value) for name, value in TIER.items()}
    refused = browser.post(address, sent | rows | {"tier-0-output_price": "5000"})
    assert refused.status_code == 422
    assert 'id="id_tier-0-output_price_error"' in refused.content.decode()
    assert browser.post(address, sent | rows).status_code == 302
    assert NodeModel.objects.get().price_tiers == [TIER]
    assert browser.post(address, sent).status_code == 302
    assert NodeModel.objects.get().price_tiers == []
    assert "prompts of more than 1,500 tokens" in browser.get(address).content.decode()
