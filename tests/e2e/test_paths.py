"""What people come to do, done in the browser."""

from __future__ import annotations

import json
import re

import httpx
from playwright.sync_api import expect

from tests.e2e.conftest import keep, violations


def test_sign_up_key_first_call(page, gateway, tenant, upstreams):
    """From nothing to an answered call, with a provider of one's own."""
    page.goto("/accounts/signup/")
    page.get_by_label("E-mail").fill(f"newcomer-{tenant.org.slug}@example.com")
    page.get_by_label("Password", exact=True).fill("correct horse battery staple")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_text("Quick start")).to_be_visible()
    connect_a_provider(page, upstreams[1])
    plain = create_a_key(page)
    answer = httpx.post(
        f"{gateway.base_url}/chat/completions",
        json={"model": "sim-chat", "messages": [{"role": "user", "content": "hello"}]},
        headers={"Authorization": f"Bearer {plain}"},
        timeout=30,
    )
    assert answer.status_code == 200
    expect(page.get_by_text("the first request has arrived")).to_be_visible()
    keep(page, "path key turned green")
    page.goto("/")
    expect(page.locator(".step[data-done]")).to_have_count(4)


def connect_a_provider(page, upstream):
    page.goto("/providers")
    page.get_by_role("link", name="Add a provider").click()
    page.get_by_role("link", name=re.compile("OpenAI-compatible")).click()
    page.get_by_label("Name").fill("Lab")
    page.get_by_label("Base URL").fill(upstream.base_url)
    page.get_by_label("API keys").fill("upstream-key")
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_text("It works")).to_be_visible()
    assert violations(page) == []
    keep(page, "path provider tested")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("checkbox", name="sim-chat").check()
    page.get_by_role("button", name="Serve these").click()
    expect(page.get_by_role("heading", name="Lab", exact=True)).to_be_visible()
    keep(page, "path provider")


def create_a_key(page) -> str:
    page.goto("/keys")
    page.get_by_role("link", name="Create key").first.click()
    page.get_by_label("Name").fill("first application")
    page.get_by_role("button", name="Create key").click()
    plain = page.locator("#plain-key").inner_text()
    page.locator(".copy-line").get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == plain
    for language in ("Python", "JavaScript", "cURL"):
        page.get_by_role("tab", name=language).click()
        assert plain in page.get_by_role("tabpanel").inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download .env").click()
    assert plain in download.value.path().read_text()
    expect(page.get_by_text("Waiting for your first request")).to_be_visible()
    assert violations(page) == []
    keep(page, "path key shown once")
    return plain


def test_the_playground_streams_and_tells_what_it_took(page, sign_in, upstreams):
    sign_in()
    upstreams[0].fail("500")
    page.goto("/playground")
    page.get_by_label("Your message").fill("What happens when a provider fails?")
    page.keyboard.press("Enter")
    expect(page.locator(".turn-model .turn-facts")).to_contain_text("attempts 2")
    expect(page.locator(".turn-model .turn-facts")).to_contain_text("upstream-b/sim-chat")
    expect(page.locator(".turn-model .turn-facts")).to_contain_text("$")
    assert violations(page) == []
    keep(page, "path playground")
    page.get_by_role("link", name="in the logs").click()
    expect(page.get_by_text("server error")).to_be_visible()


def test_the_playground_stops(page, sign_in, upstreams):
    sign_in()
    upstreams[0].fail("endless-tokens")
    page.goto("/playground")
    page.get_by_label("Your message").fill("Never stop")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".turn-model .turn-text")).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.locator(".turn-model .turn-facts")).to_contain_text("stopped")


def test_the_playground_shows_the_call_as_code(page, sign_in):
    sign_in()
    page.goto("/playground")
    page.get_by_label("Your message").fill('Say "hi" & it\'s fine')
    page.get_by_label("Temperature").fill("0.4")
    page.get_by_role("button", name="View as code").click()
    expect(page.get_by_role("tabpanel")).to_contain_text('"temperature": 0.4')
    page.get_by_role("tab", name="Python").click()
    code = page.get_by_role("tabpanel").inner_text()
    compile(code, "snippet", "exec")
    assert "temperature=0.4" in code


def test_the_playground_compares_side_by_side(page, sign_in, tenant, upstreams):
    """The dear one answers more slowly; the third does not answer at all."""
    dear = {"id": "dear-chat", "upstream_id": "sim-chat", "input_price": "100", "output_price": "200"}
    tenant.connect(upstreams[1].base_url, [dear], name="Dear")
    sign_in()
    page.goto("/playground?model=sim-chat&model=dear-chat")
    lanes = page.locator(".lane")
    expect(lanes).to_have_count(2)
    page.get_by_label("Your message").fill("Which of you is cheaper?")
    page.get_by_label("Your message").press("Enter")
    line = page.locator("[data-compared] tbody tr")
    expect(line).to_have_count(2)
    expect(line.nth(0)).to_contain_text("cheapest")
    expect(line.nth(1)).to_contain_text("+$")
    for lane, name in ((lanes.nth(0), "sim-chat"), (lanes.nth(1), "dear-chat")):
        expect(lane.get_by_role("heading", name=name)).to_be_visible()
        expect(lane.locator(".turn-model .turn-text")).not_to_be_empty()
        expect(lane.locator(".turn-facts").last).to_contain_text("$")
    assert violations(page) == []
    keep(page, "path playground compared")
    page.get_by_role("button", name="View as code").click()
    expect(page.get_by_role("tabpanel")).to_contain_text("/v1/compare")
    expect(page.get_by_role("tabpanel")).not_to_contain_text('"assistant"')
    page.get_by_role("tab", name="Python").click()
    compile(page.get_by_role("tabpanel").inner_text(), "snippet", "exec")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Compare with another").click()
    expect(lanes).to_have_count(3)
    for _ in range(2):
        page.get_by_role("button", name="Compare without it").last.click()
    expect(lanes).to_have_count(1)
    expect(page.get_by_role("button", name="Compare without it")).to_have_count(0)
    expect(lanes.get_by_role("log")).to_contain_text("Which of you is cheaper?")


def test_the_playground_asks_for_tools_and_a_schema(page, sign_in, upstreams):
    sign_in()
    for upstream in upstreams:
        upstream.log.clear()
    page.goto("/playground")
    page.get_by_label("Your message").fill("Weather?")
    page.locator("summary", has_text="Tools").click()
    page.get_by_label("Tools", exact=True).fill("{not json")
    page.get_by_role("button", name="Send").click()
    assert page.locator("#tools").evaluate("field => field.validationMessage") == "This is no JSON list of tools."
    assert not any(upstream.log.posts for upstream in upstreams)
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    page.get_by_label("Tools", exact=True).fill(json.dumps([tool]))
    page.get_by_label("Answer as").select_option("JSON of a schema")
    page.get_by_label("JSON schema").fill('{"type": "object"}')
    page.get_by_role("button", name="View as code").click()
    expect(page.get_by_role("tabpanel")).to_contain_text('"json_schema"')
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".turn-model .turn-facts")).to_contain_text("$")
    sent = next(upstream.log.posts for upstream in upstreams if upstream.log.posts)[0].body
    assert (sent["tools"], sent["response_format"]["type"]) == ([tool], "json_schema")


def test_a_session_does_not_open_the_gateway(page, sign_in, gateway):
    sign_in()
    page.goto("/")
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    assert httpx.get(f"{gateway.base_url}/models", cookies=cookies).status_code == 401


def test_the_log_is_live_and_opens_a_sheet(page, sign_in, tenant, gateway, upstreams):
    sign_in()
    page.goto("/logs")
    expect(page.get_by_text("No requests yet")).to_be_visible()
    upstreams[0].fail("503")
    httpx.post(
        f"{gateway.base_url}/chat/completions",
        json={"model": "sim-chat", "messages": [{"role": "user", "content": "hello"}]},
        headers={"Authorization": f"Bearer {tenant.api_key}"},
        timeout=30,
    )
    page.get_by_text("attempt 2").wait_for()
    page.locator("a.row-link").first.click()
    sheet = page.locator("dialog.sheet")
    expect(sheet.get_by_text("server error")).to_be_visible()
    assert violations(page) == []
    keep(page, "path log sheet")
    page.keyboard.press("Escape")
    expect(sheet).not_to_be_visible()


def test_the_theme_changes_without_a_reload_and_stays(page, sign_in):
    sign_in()
    page.goto("/activity")
    page.get_by_title("Theme").click()
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_language_changes_and_stays(page, sign_in):
    sign_in()
    page.goto("/keys")
    page.get_by_title("Language").click()
    page.get_by_role("button", name="ไทย").click()
    expect(page.get_by_role("heading", name="คีย์ API")).to_be_visible()
    assert page.url.endswith("/keys")


def test_the_keyboard_leads_everywhere(page, sign_in):
    sign_in()
    page.goto("/logs")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("audit")
    assert violations(page) == []
    page.keyboard.press("Enter")
    page.wait_for_url("**/audit")


def test_forms_work_without_a_script(browser, gateway, sign_in, context):
    sign_in()
    plain = browser.new_context(base_url=gateway.url, java_script_enabled=False)
    plain.add_cookies(context.cookies())
    page = plain.new_page()
    page.goto("/keys/new")
    page.get_by_label("Name").fill("by hand")
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#plain-key")).to_contain_text("sk-sai-")
    page.goto("/keys?q=by+hand")
    expect(page.get_by_role("link", name="by hand")).to_be_visible()
    plain.close()
