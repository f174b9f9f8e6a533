"""Kept prompts, a canary, a semantic cache and a simulation, as they look: both themes and languages, and a phone."""

from __future__ import annotations

import pytest

from accounts.organizations import update_organization
from metering.contents import is_kept
from metering.models import Usage
from routing import canaries
from routing.cache_services import put_policy
from routing.drafts import save_draft
from routing.services import put_route
from routing.simulations import start_simulation
from tests.e2e.conftest import keep, overflows, violations
from tests.e2e.test_pages import LOOKS, call
from tests.ownredis import eventually


@pytest.fixture
def addresses(tenant, gateway, upstreams) -> list[str]:
    org, actor = tenant.org, tenant.actor
    update_organization(org, actor, log_content=True)
    legs = [{"target": "upstream-a/sim-chat"}, {"target": "sim-chat", "tier": 1}]
    put_route(org, actor, "fast", {"targets": legs})
    tenant.connect(upstreams[0].base_url, [{"id": "text-embedding-3-small", "kind": "embedding"}])
    semantic = {"model": "text-embedding-3-small", "threshold": 0.95}
    put_policy(org, actor, scope="route", subject="fast", ttl_s=3600, semantic=semantic)
    draft = save_draft(org, actor, "fast", {"targets": legs, "strategy": "cheapest"})
    canaries.start(draft, actor, 10)
    kept: list[str] = []

    def answered() -> bool:
        call(tenant, gateway, "fast")
        kept[:] = [row.request_id for row in Usage.objects.of(org).all() if is_kept(org, row.request_id)]
        return bool(kept)

    eventually(answered, 20)
    simulation = start_simulation(draft, actor, run=int)
    return [
        f"/logs/{kept[0]}",
        "/settings",
        "/settings/content/purge",
        "/routes/show/fast",
        "/cache",
        "/activity/insight?texts=on",
        f"/simulations/{simulation.public_id}",
        "/quotas",
    ]


@pytest.mark.parametrize(("theme", "language"), LOOKS)
def test_they_are_sound(page, sign_in, addresses, theme, language):
    sign_in(theme=theme, language=language)
    faults = {}
    for address in addresses:
        page.goto(address)
        if address.startswith("/logs/"):
            page.locator("form[id^=said-] button").click()
            page.locator(".said").first.wait_for()
        keep(page, f"control {address.split('?')[0].strip('/').replace('/', '-')[:40]} {theme} {language}")
        if found := violations(page) + (["overflow"] if overflows(page) else []):
            faults[address] = found
    page.set_viewport_size({"width": 390, "height": 844})
    for address in addresses:
        page.goto(address)
        keep(page, f"control phone {address.split('?')[0].strip('/').replace('/', '-')[:40]} {theme}")
        if found := violations(page) + (["overflow"] if overflows(page) else []):
            faults[f"phone {address}"] = found
    assert not faults
