"""The editor of rules in a browser, with JavaScript and without it."""

from __future__ import annotations

import pytest

from routing.models import RouteDraft


def write_two_rules(page) -> None:
    page.goto("/routes/new")
    page.get_by_label("Name", exact=True).fill("fast")
    page.locator("[name=use]").fill("upstream-a/sim-chat")
    for number, tag in enumerate(("first", "second")):
        page.get_by_role("button", name="Add a rule").click()
        rule = page.get_by_role("group", name=f"Rule {number + 1}", exact=True)
        rule.locator(f"[name=rule{number}-tags]").fill(tag)
        rule.locator(f"[name=rule{number}-targets]").fill("upstream-b/sim-chat")
    page.get_by_role("button", name="Move rule 2 up").click()
    first = page.get_by_role("group", name="Rule 1", exact=True)
    assert "the tag is “second”" in first.inner_text()
    page.get_by_role("button", name="Save the draft").last.click()
    page.wait_for_url("**/routes/show/fast")


def test_rules_are_added_and_reordered(page, sign_in, tenant):
    sign_in()
    write_two_rules(page)
    assert [rule.split(" use")[0] for rule in RouteDraft.objects.of(tenant.org).get().content["rules"]] == [
        'when tag is "second"',
        'when tag is "first"',
    ]


@pytest.fixture
def without_javascript(browser, gateway, context, sign_in):
    sign_in()
    plain = browser.new_context(base_url=gateway.url, java_script_enabled=False)
    plain.add_cookies(context.cookies())
    yield plain.new_page()
    plain.close()


def test_it_works_without_javascript(without_javascript, tenant):
    write_two_rules(without_javascript)
    assert len(RouteDraft.objects.of(tenant.org).get().content["rules"]) == 2


def test_what_becomes_of_slow_and_broken_streams_is_set_with_two_ticks(page, sign_in, tenant):
    sign_in()
    page.goto("/routes/new")
    page.get_by_label("Name", exact=True).fill("calm")
    page.locator("[name=use]").fill("upstream-a/sim-chat\nupstream-b/sim-chat")
    page.get_by_label("Continue a broken stream at another target").check()
    page.get_by_label("Ask a second target when the first is slow to begin").check()
    page.get_by_label("After, in milliseconds").fill("250")
    page.get_by_role("button", name="Save the draft").last.click()
    page.wait_for_url("**/routes/show/calm")
    content = RouteDraft.objects.of(tenant.org).get().content
    assert content["continue_streams"] is True
    assert content["hedge"] == {"after_ms": 250, "most_percent": 5, "most_extra_usd": "0.01"}
    said = page.locator("main").inner_text()
    assert "goes on at the next target that can" in said
    assert "is asked of a second target too after 250 ms, at most 5% of them and for $0.01 at most" in said
    page.goto("/routes/edit/calm")
    assert page.get_by_label("After, in milliseconds").input_value() == "250"
