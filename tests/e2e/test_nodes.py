"""Adding a machine, and the pages of machines, in a real browser."""

from __future__ import annotations

import re
from time import monotonic

import httpx
import pytest
from playwright.sync_api import expect

from nodes.doubts import store_doubts
from nodes.enrolment import create_token
from nodes.models import EnrolmentToken, Node
from nodes.recount import Recount
from nodes.sources import target_id_of
from providers.adapters.base import COUNTED, REPORTED, TokenUsage
from routing.health_control import hold_open
from tests.console.pages import machines
from tests.e2e.conftest import keep, overflows, violations
from tests.e2e.desk import desk
from tests.figures import note
from tests.nodes.machine import Machine

LOOKS = (("light", "en"), ("dark", "th"))
"""Each theme and each language once: what a theme can break, a language does not mend."""


@pytest.fixture
def lab(tenant):
    """A small fleet in every state."""
    token = create_token(tenant.org, tenant.actor, count=50, ttl_s=3600).plain
    names = ("Workbench", "GPU server 1", "GPU server 2", "Marketing Mac", "Old laptop")
    tags = {"GPU server 1": ["rack", "24gb"], "GPU server 2": ["rack"], "Workbench": ["office"]}
    made = [machines.new_node(tenant.org, tenant.actor, name, token, tags=tags.get(name, [])) for name in names]
    workbench, first, second, mac, _laptop = made
    machines.serving(
        workbench, "llama3.1:8b", "qwen2.5-coder:14b", "nomic-embed-text", in_flight=2, queue=1, seconds=600
    )
    machines.work(workbench, machines.an_hour())
    machines.serving(first, "llama3.1:70b", in_flight=1, seconds=600)
    machines.serving(second, "llama3.1:70b", accepting=False, reason="user_active", seconds=600)
    machines.list_models(mac)
    machines.connect(mac, seconds=600)
    machines.pass_trial(mac, ok=False, error="server error (500): out of memory")
    model = mac.served_models.select_related("node__org").get()
    hold_open(tenant.org, tenant.actor, model, note="Until it has more memory")
    said, counted = TokenUsage(40, 900, 0, REPORTED), TokenUsage(40, 21, 0, COUNTED)
    store_doubts(Recount("", target_id_of(model), said, counted, 100, 60), ["more_than_bytes", "wrong_answer"])
    yield made
    for node in made:
        machines.leave(node)


@pytest.mark.parametrize(("theme", "language"), LOOKS)
def test_every_page_of_machines_is_sound(page, sign_in, lab, theme, language):
    sign_in(theme=theme, language=language)
    faults = {}
    token = EnrolmentToken.objects.get(pk=lab[0].enrolled_with_id)
    own = f"/nodes/{lab[0].public_id}"
    addresses = {
        "nodes": "/nodes", "nodes fleets": "/nodes/fleets", "nodes by token": "/nodes/fleets?by=token",
        "nodes new": "/nodes/new?for=fleet", "nodes token": f"/nodes/tokens/{token.public_id}", "nodes detail": own,
        "nodes edit": f"{own}/edit", "nodes remove": f"{own}/remove", "nodes trouble": f"/nodes/{lab[3].public_id}",
        "guide": "/docs/provider-guide",
    }  # fmt: skip
    for width, prefix in ((1360, ""), (390, "phone ")):
        page.set_viewport_size({"width": width, "height": 900})
        for name, address in addresses.items():
            page.goto(address)
            page.wait_for_function("document.fonts.status === 'loaded'")
            keep(page, f"{prefix}{name} {theme} {language}")
            if found := violations(page) + (["overflow"] if overflows(page) else []):
                faults[f"{prefix}{name}"] = found
    assert not faults


@pytest.mark.parametrize(("theme", "language"), LOOKS)
def test_the_wizard_is_sound_at_each_step(page, sign_in, tenant, gateway, theme, language):
    """Before a machine, with one on its way, with one that is in trouble, and with one that serves."""
    sign_in(theme=theme, language=language)
    page.goto("/nodes")
    assert violations(page) == []
    keep(page, f"nodes empty {theme} {language}")
    page.locator(".empty a.btn").click()
    page.locator("button.btn-primary").click()
    page.locator("[data-countdown]").wait_for()
    found = check(page, f"wizard waiting {theme} {language}")
    node = enrolled(page, gateway)
    page.locator("[data-rung=found][data-state=done]").wait_for()
    found += check(page, f"wizard found {theme} {language}")
    machines.connect(node, seconds=600)
    machines.list_models(node)
    machines.pass_trial(node, ok=False, error="server error (500): out of memory")
    page.locator("[data-rung=trial][data-state=failed]").wait_for()
    found += check(page, f"wizard trouble {theme} {language}")
    machines.pass_trial(node)
    page.locator("#try-it").wait_for()
    found += check(page, f"wizard routable {theme} {language}")
    page.set_viewport_size({"width": 390, "height": 844})
    found += check(page, f"phone wizard routable {theme} {language}")
    machines.leave(node)
    assert found == []


def check(page, name: str) -> list[str]:
    keep(page, name)
    return [f"{name}: {fault}" for fault in violations(page) + (["overflow"] if overflows(page) else [])]


def enrolled(page, gateway) -> Node:
    """Does what the line on the page does: its token, by HTTP, to the console that shows it."""
    line = page.locator("[role=tabpanel]:not([hidden]) code").last.inner_text()
    machine = Machine("workbench.lab.example")
    said = machine.application(re.search("sai-node-[0-9a-f]+", line)[0], origin=gateway.url)
    answer = httpx.post(f"{gateway.url}/nodes/v1/enroll", json=said)
    assert answer.status_code == 201, answer.text
    return Node.objects.select_related("org").get(public_id=answer.json()["node"])


def test_from_the_wizard_to_an_answer_of_one_s_own_machine(page, sign_in, gateway, tmp_path):
    """The real agent, enrolled with the page's token over the real tunnel, in front of a model server."""
    sign_in()
    began = monotonic()
    with desk(page, gateway, tmp_path):
        page.locator("[data-rung=routable][data-state=done]").wait_for(timeout=30_000)
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".try-answer .turn-facts")).to_contain_text("total")
        expect(page.locator(".try-answer .turn-text")).not_to_be_empty()
        note("the wizard is opened, until one's own machine has answered in it", monotonic() - began)
        assert violations(page) == []
        keep(page, "wizard answered")
        page.get_by_role("link", name="The machine's page").click()
        expect(page.get_by_text("this organisation", exact=True)).to_be_visible(timeout=15_000)
        expect(page.get_by_text("Online")).to_be_visible()
        keep(page, "nodes detail of a real machine")
        page.goto("/playground?model=node/desk/local-model")
        expect(page.get_by_label("Model or route 1")).to_have_value("node/desk/local-model")


def test_each_system_has_its_line_and_one_s_own_comes_first(browser, page, sign_in, gateway, context):
    sign_in()
    agents = {
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64)": ("Windows", "install.ps1"),
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)": ("macOS", "install.sh"),
        "Mozilla/5.0 (X11; Linux x86_64)": ("Ubuntu", "install.sh"),
    }
    for agent, (name, word) in agents.items():
        page.set_extra_http_headers({"User-Agent": agent})
        page.goto("/nodes/new")
        page.get_by_role("button", name="Show the command").click()
        expect(page.get_by_role("tab", selected=True)).to_have_text(name)
        expect(page.get_by_role("tabpanel")).to_contain_text(word)
    page.get_by_role("tab", name="Docker").click()
    expect(page.get_by_role("tabpanel")).to_contain_text("docker run")
    page.get_by_role("tabpanel").get_by_role("button", name="Copy").last.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "docker run" in copied
    token = re.search("sai-node-[0-9a-f]+", copied)[0]
    page.keyboard.press("Tab")
    page.get_by_role("tab", name="Docker").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Windows")).to_be_focused()
    assert token in page.get_by_role("tabpanel").inner_text()


def test_a_token_is_shown_once_and_a_reload_makes_no_other(page, sign_in, tenant):
    sign_in()
    page.goto("/nodes/new")
    page.get_by_role("button", name="Show the command").click()
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"1[45]:\d\d left"))
    page.reload()
    expect(page.get_by_text("A token is shown once")).to_be_visible()
    assert "sai-node-" not in page.content()
    assert EnrolmentToken.objects.of(tenant.org).count() == 1
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("This token is withdrawn")).to_be_visible()


def test_the_page_of_a_machine_is_live(page, sign_in, lab):
    sign_in()
    workbench = lab[0]
    page.goto(f"/nodes/{workbench.public_id}")
    expect(page.get_by_text("Online")).to_be_visible()
    machines.tell(workbench, generation=1, seconds=600, accepting=False, reason="user_active")
    expect(page.get_by_text("Somebody is using the machine.")).to_be_visible()
    machines.tell(workbench, generation=1, seconds=600, in_flight=3)
    expect(page.locator(".stat-cell", has_text="In flight").locator(".stat-value")).to_have_text("3")
    page.get_by_role("link", name="Drain").click()
    expect(page.get_by_text("3 requests are finished first")).to_be_visible()
    page.get_by_role("button", name="Drain").click()
    expect(page.get_by_text("3 requests are being finished")).to_be_visible()
    machines.tell(workbench, generation=1, seconds=600, in_flight=0)
    expect(page.get_by_text("it can be switched off")).to_be_visible()


def test_many_are_tagged_and_drained_at_once(page, sign_in, lab):
    sign_in()
    page.goto("/nodes")
    expect(page.get_by_role("group", name="With the ticked machines")).to_be_hidden()
    page.get_by_role("checkbox", name="Tick all on this page").check()
    page.get_by_label("Tag", exact=True).last.fill("lab")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("5 machines are changed.")).to_be_visible()
    page.get_by_label("Tag", exact=True).first.select_option("rack")
    expect(page.get_by_text("2 machines · 2 connected")).to_be_visible()
    page.get_by_role("checkbox", name="GPU server 1").check()
    machines.tell(lab[4], seconds=600)
    page.get_by_role("button", name="Drain").click()
    expect(page.get_by_role("row", name="GPU server 1")).to_contain_text("Draining")
    assert "tag=rack" in page.url


def test_machines_are_managed_without_a_script(browser, gateway, sign_in, context, lab):
    sign_in()
    plain = browser.new_context(base_url=gateway.url, java_script_enabled=False)
    plain.add_cookies(context.cookies())
    page = plain.new_page()
    page.goto("/nodes/new")
    page.get_by_role("button", name="Show the command").click()
    assert page.get_by_text("SHAREAI_NODE_TOKEN=sai-node-").first.is_visible()
    assert page.get_by_text("irm ").is_visible()
    page.goto(f"/nodes/{lab[0].public_id}/edit")
    page.get_by_label("Idle time").check()
    page.get_by_label("Minutes without keyboard or mouse").fill("25")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("After 25 minutes without keyboard or mouse")).to_be_visible()
    page.goto("/nodes")
    page.get_by_role("checkbox", name="Workbench").check()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("row", name="Workbench")).to_contain_text("Paused")
    plain.close()
