"""The quick start, whole: from signing up to calls that a machine of one's own answers when the provider fails."""

from __future__ import annotations

from time import monotonic

from openai import OpenAI
from playwright.sync_api import Page, expect

from tests.e2e.conftest import keep
from tests.e2e.desk import desk
from tests.e2e.test_paths import connect_a_provider, create_a_key
from tests.figures import note

ASKED = [{"role": "user", "content": "Who answers?"}]


def test_from_nothing_to_a_call_that_survives_its_provider(page, gateway, tenant, upstreams, tmp_path):
    began = monotonic()
    page.goto("/accounts/signup/")
    page.get_by_label("E-mail").fill(f"quick-{tenant.org.slug}@example.com")
    page.get_by_label("Password", exact=True).fill("correct horse battery staple")
    page.get_by_role("button", name="Create account").click()
    connect_a_provider(page, upstreams[1])
    plain = create_a_key(page)
    with desk(page, gateway, tmp_path):
        page.locator("[data-rung=routable][data-state=done]").wait_for(timeout=30_000)
        route = published(page)
        with OpenAI(base_url=gateway.base_url, api_key=plain, max_retries=0) as client:
            assert answered_by(client, route) == "lab/sim-chat"
            upstreams[1].fail("500")
            assert answered_by(client, route) == "node/desk/local-model"
        note("signed up, until a call has survived its provider's failure", monotonic() - began)
    page.goto("/logs")
    expect(page.get_by_role("row").filter(has_text=route)).to_have_count(2)
    keep(page, "quick start logs")


def published(page: Page) -> str:
    """The name of the route."""
    page.goto("/routes")
    template = page.locator("form", has=page.get_by_role("heading", name="Cheapest, then my node on error"))
    template.get_by_role("button", name="Make a draft").click()
    page.wait_for_url("**/routes/show/*")
    page.get_by_role("button", name="Publish").first.click()
    expect(page.get_by_text("is live. Every gateway process")).to_be_visible()
    keep(page, "quick start route")
    return page.url.rpartition("/")[2]


def answered_by(client: OpenAI, route: str) -> str:
    answer = client.chat.completions.with_raw_response.create(model=route, messages=ASKED)
    assert answer.parse().choices[0].message.content
    return answer.headers["x-shareai-target"]
