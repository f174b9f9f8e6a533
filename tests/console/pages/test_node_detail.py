"""One machine's page: how it does, its models and prices, its settings, taking it out of service."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from console.week import Span, week_of
from nodes.models import Node
from nodes.services import update_node
from routing.services import put_route
from tests.console.pages import machines
from tests.console.pages.conftest import record


@pytest.fixture
def node(acme, as_alice):
    node = machines.serving(machines.new_node(acme, as_alice), "llama3.1:8b", "qwen2.5:7b", in_flight=2, queue=1)
    yield node
    machines.leave(node)


def address(node: Node, name: str = "nodes-detail") -> str:
    return reverse(name, args=[node.public_id])


def shown(browser, node: Node) -> str:
    return browser.get(address(node)).content.decode()


def test_it_shows_how_busy_it_is_and_the_last_hour(as_browser, alice, node):
    machines.work(node, machines.an_hour())
    text = shown(as_browser(alice), node)
    for figure in ("62 %", "71 %", "17 GB of 24 GB", "of 4 at a time", "NVIDIA GeForce RTX 4090", "62 tokens/s"):
        assert figure in text
    assert text.count('class="spark"') == 4
    assert text.count('<path class="line"') == 4


def test_a_machine_that_tells_little_shows_little(as_browser, alice, node):
    machines.tell(node, gpu=(), in_flight=0)
    text = shown(as_browser(alice), node)
    assert "Processor load" in text
    assert "21 %" in text
    machines.leave(node)
    assert "Offline" in shown(as_browser(alice), node)


@pytest.mark.parametrize(
    ("said", "reason", "fix"),
    [
        ({"accepting": False, "reason": "user_active"}, "user_active", "comes back by itself"),
        ({"accepting": False, "reason": "on_battery"}, "on_battery", "Plug it in"),
        ({"accepting": False, "reason": "calendar"}, "calendar", "weekly calendar"),
    ],
)
def test_it_says_why_it_is_not_routable_and_what_to_do(as_browser, alice, node, said, reason, fix):
    machines.tell(node, **said)
    text = shown(as_browser(alice), node)
    assert f'data-reason="{reason}"' in text
    assert fix in text


def test_all_reasons_are_told_at_once(as_browser, alice, acme, node):
    node.served_models.update(advertised=False)
    Node.objects.update(paused=True)
    text = shown(as_browser(alice), node)
    assert 'data-reason="paused"' in text
    assert 'data-reason="none_offered"' in text


def test_a_viewer_reads_and_has_nothing_to_press(as_browser, carol, node):
    text = shown(as_browser(carol), node)
    assert "Workbench" in text
    assert "<input" not in text.split('id="content"')[1].split("<dialog")[0]
    for name in ("nodes-pause", "nodes-drain", "nodes-remove", "nodes-edit"):
        assert address(node, name) not in text


def models(browser, node: Node, **typed: str):
    """Posts the form of models with every field as it is, but for `<upstream id>:<field>`."""
    said: dict[str, object] = {"advertised": [], "for_others": []}
    for row in node.served_models.all():
        fields = {"advertised": "on", "for_others": "on", "name": row.model_id, "input": "0", "output": "0"}
        fields |= {name.split("|")[1]: text for name, text in typed.items() if name.startswith(f"{row.upstream_id}|")}
        for tick in ("advertised", "for_others"):
            said[tick] += [row.public_id] if fields.pop(tick) else []
        said |= {f"{name}-{row.public_id}": text for name, text in fields.items()}
    return browser.post(address(node, "nodes-models"), said)


def test_models_are_ticked_named_and_priced(as_browser, alice, acme, node):
    typed = {"llama3.1:8b|name": "small", "llama3.1:8b|input": "0.02", "llama3.1:8b|output": "0.04"}
    response = models(as_browser(alice), node, **typed, **{"qwen2.5:7b|advertised": ""})
    assert response.url == address(node)
    small = node.served_models.get(upstream_id="llama3.1:8b")
    assert (small.model_id, small.input_price_nanos, small.output_price_nanos) == ("small", 20_000_000, 40_000_000)
    assert not node.served_models.get(upstream_id="qwen2.5:7b").advertised
    assert AuditEvent.objects.of(acme).filter(action="node.updated").exists()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"qwen2.5:7b|input": "101"}, "between 0 and 100"),
        ({"qwen2.5:7b|output": "cheap"}, "Enter a price"),
        ({"qwen2.5:7b|name": "has space "}, 'id="error-id-'),
        ({"qwen2.5:7b|name": "llama3.1:8b"}, "listed twice"),
    ],
)
def test_a_wrong_model_is_told_at_its_row_and_what_was_typed_stays(as_browser, alice, node, typed, told):
    response = models(as_browser(alice), node, **typed, **{"llama3.1:8b|input": "0.25"})
    text = response.content.decode()
    assert response.status_code == 422
    assert told in text.replace("0.0", "0").replace("100.0", "100")
    assert 'value="0.25"' in text
    assert 'aria-invalid="true"' in text
    assert not node.served_models.exclude(input_price_nanos=0).exists()


def settings_of(**typed: object) -> dict[str, object]:
    return {
        "name": "Workbench",
        "tags": "",
        "max_concurrent": "4",
        "priority": "100",
        "mode": "always",
        "quiet_minutes": "10",
        "gpu_percent": "20",
        "time_zone": "Asia/Bangkok",
        "visibility": "private",
        "shared_with": "",
    } | typed


def test_settings_are_saved(as_browser, alice, acme, rival, node):
    typed = settings_of(
        name="Lab PC",
        tags="Office, gpu",
        mode="idle",
        gpu_percent="35",
        visibility="shared",
        shared_with="rival",
        **{"hours-days-1": ["0", "1"], "hours-from-1": "20:00", "hours-to-1": "07:00", "hours-from-2": ""},
        **{"hours-days-3": ["5"], "hours-from-3": "12:00", "hours-to-3": "00:00"},
    )
    response = as_browser(alice).post(address(node, "nodes-edit"), typed)
    assert response.url == address(node), response.context
    node.refresh_from_db()
    assert (node.name, node.tags, node.mode, node.gpu_below) == ("Lab PC", ["gpu", "office"], "idle", 0.35)
    assert node.calendar == [
        {"days": [0, 1], "from": "20:00", "to": "07:00"},
        {"days": [5], "from": "12:00", "to": "24:00"},
    ]
    text = shown(as_browser(alice), node)
    assert "Rival" in text
    assert "After 10 minutes without keyboard or mouse" in text
    assert "below 35 %" in text
    assert "Mon 20:00–24:00" in text


def test_hours_are_changed_and_removed(as_browser, alice, acme, as_alice, node):
    update_node(node, as_alice, {"calendar": [{"days": [0], "from": "08:00", "to": "24:00"}]})
    browser = as_browser(alice)
    form = browser.get(address(node, "nodes-edit")).content.decode()
    assert 'name="hours-from-1" value="08:00"' in form
    assert 'name="hours-to-1" value="00:00"' in form
    kept = {"hours-days-1": "0", "hours-from-1": "08:00", "hours-to-1": "00:00"}
    browser.post(address(node, "nodes-edit"), settings_of(**kept))
    node.refresh_from_db()
    assert node.calendar == [{"days": [0], "from": "08:00", "to": "24:00"}]
    browser.post(address(node, "nodes-edit"), settings_of(**kept, **{"hours-gone": "1"}))
    node.refresh_from_db()
    assert node.calendar == []


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"name": " "}, "name"),
        ({"tags": "a/b"}, "tags"),
        ({"max_concurrent": "0"}, "max_concurrent"),
        ({"visibility": "shared", "shared_with": "nobody"}, "shared_with"),
        ({"time_zone": "Nowhere"}, "time_zone"),
        ({"mode": "never"}, "mode"),
        ({"gpu_percent": "0"}, "gpu_percent"),
    ],
)
def test_a_wrong_setting_is_told_beside_it_and_the_rest_stays(as_browser, alice, node, typed, field):
    response = as_browser(alice).post(address(node, "nodes-edit"), settings_of(priority="77", **typed))
    assert response.status_code == 422
    assert response.context["form"].errors.keys() == {field}
    assert 'value="77"' in response.content.decode()
    node.refresh_from_db()
    assert node.priority == 100


@pytest.mark.parametrize(
    "hours",
    [
        {"hours-days-1": "0", "hours-from-1": "", "hours-to-1": "09:00"},
        {"hours-from-1": "08:00", "hours-to-1": "09:00"},
        {"hours-days-1": "0", "hours-from-1": "08:00", "hours-to-1": "08:00"},
    ],
)
def test_wrong_hours_are_told_at_their_row(as_browser, alice, node, hours):
    right = {"hours-days-2": "3", "hours-from-2": "10:00", "hours-to-2": "11:00"}
    response = as_browser(alice).post(address(node, "nodes-edit"), settings_of(**hours, **right))
    text = response.content.decode()
    assert response.status_code == 422
    assert text.count('id="hours-error-') == 1
    assert 'id="hours-error-1"' in text
    assert 'name="hours-from-2" value="10:00"' in text


def test_a_week_is_drawn_with_its_nights():
    week = week_of([{"days": [6], "from": "22:00", "to": "02:00"}, {"days": [0], "from": "01:00", "to": "03:30"}])
    assert week[6].spans == (Span(1320, 1440),)
    assert week[0].spans == (Span(0, 210),)
    assert week[0].said == "00:00–03:30"
    assert all(day.spans == () for day in week[1:6])


def test_pausing_says_what_it_takes_away(as_browser, alice, acme, as_alice, connection, node):
    machines.list_models(node, "llama3.1:8b", "qwen2.5:7b", "demo-chat")
    node.served_models.update(advertised=True)
    put_route(acme, as_alice, "nightly", {"targets": [{"target": "node/workbench/qwen2.5:7b"}]})
    asked = as_browser(alice).get(address(node, "nodes-pause")).content.decode()
    fails, elsewhere = asked.split("Nothing else serves")[1].split("Served elsewhere")
    assert "llama3.1:8b" in fails
    assert "<code>demo-chat</code>" in elsewhere
    assert "<code>nightly</code>" in asked
    as_browser(alice).post(address(node, "nodes-pause"))
    node.refresh_from_db()
    assert node.paused


def test_draining_is_followed_to_its_end(as_browser, alice, node):
    browser = as_browser(alice)
    assert "2 requests are finished first" in browser.get(address(node, "nodes-drain")).content.decode()
    browser.post(address(node, "nodes-drain"))
    assert "2 requests are being finished" in shown(browser, node)
    machines.tell(node, generation=1, in_flight=0)
    assert "it can be switched off" in shown(browser, node)
    browser.post(address(node, "nodes-resume"))
    node.refresh_from_db()
    assert (node.paused, node.draining_since) == (False, None)


def test_removing_wants_its_name(as_browser, alice, acme, rival, as_alice, node):
    update_node(node, as_alice, {"visibility": "shared", "shared_with": ["rival"]})
    browser = as_browser(alice)
    asked = browser.get(address(node, "nodes-remove")).content.decode()
    assert "Rival" in asked
    wrong = browser.post(address(node, "nodes-remove"), {"typed_name": "Workbenc"})
    assert wrong.status_code == 422
    assert 'value="Workbenc"' in wrong.content.decode()
    assert browser.post(address(node, "nodes-remove"), {"typed_name": "workbench"}).url == reverse("nodes")
    assert browser.get(address(node)).status_code == 404
    node.refresh_from_db()
    assert (node.removed_at is not None, node.revoked_at is not None) == (True, True)


@pytest.mark.parametrize("name", ["nodes-models", "nodes-resume", "nodes-pause", "nodes-drain", "nodes-remove"])
def test_nobody_acts_on_anothers_machine(as_browser, mallory, rival, node, name):
    response = as_browser(mallory).post(address(node, name), {"typed_name": "workbench"})
    assert response.status_code == 404
    node.refresh_from_db()
    assert (node.paused, node.removed_at) == (False, None)


def test_guests_get_no_page_of_a_shared_machine(as_browser, mallory, rival, as_alice, node):
    update_node(node, as_alice, {"visibility": "shared", "shared_with": ["rival"]})
    browser = as_browser(mallory)
    assert browser.get(address(node)).status_code == 404
    text = browser.get(reverse("models")).content.decode()
    assert "node/acme.workbench/llama3.1:8b" in text
    assert address(node) not in text


def test_recent_requests_tell_for_whom_and_never_what(as_browser, alice, acme, rival, as_alice, node, log):
    target = -node.served_models.get(upstream_id="llama3.1:8b").pk
    own = record(acme, None, 1, target_id=target, model="a-route-of-acme")
    guest = record(rival, None, 2, target_id=target, model="a-secret-route", metadata={"note": "private"})
    browser = as_browser(alice)
    text = shown(browser, node)
    assert reverse("logs-detail", args=[own.request_id]) in text
    assert "the community" in text
    for secret in (guest.request_id, "a-secret-route", "private</", "Rival"):
        assert secret not in text
    update_node(node, as_alice, {"visibility": "shared", "shared_with": ["rival"]})
    assert "Rival" in shown(browser, node)


def test_a_newer_agent_is_pointed_out(as_browser, alice, node):
    Node.objects.update(version="0.0.9")
    assert "shareai-node upgrade" in shown(as_browser(alice), node)


def test_a_revoked_machine_can_only_be_removed(as_browser, alice, as_alice, node):
    from nodes.services import revoke_node

    revoke_node(node, as_alice)
    text = shown(as_browser(alice), node)
    assert 'data-reason="revoked"' in text
    assert address(node, "nodes-pause") not in text
    assert address(node, "nodes-remove") in text
    assert "revoked" in as_browser(alice).post(address(node, "nodes-resume"), follow=True).content.decode().lower()
    assert as_browser(alice).post(address(node, "nodes-edit"), settings_of()).status_code == 422
