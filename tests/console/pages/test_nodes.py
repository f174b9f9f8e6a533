"""The list of machines, what is done to many at once, and fleets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import roles
from accounts.models import AuditEvent
from billing.earnings.models import Lot
from console.pages import nodes as page
from nodes.enrolment import create_token
from nodes.models import Node
from tests.console.pages import machines
from tests.console.pages.conftest import record


@pytest.fixture
def lab(acme, as_alice):
    """One that serves, one that its owner uses, one whose model fails, one that never came."""
    made = [machines.new_node(acme, as_alice, name) for name in ("Able", "Busy", "Cracked", "Dormant")]
    able, busy, cracked, _dormant = made
    machines.serving(able, "llama3.1:8b")
    machines.serving(busy, "qwen2.5:7b", accepting=False, reason="user_active")
    machines.list_models(cracked)
    machines.connect(cracked)
    machines.pass_trial(cracked, ok=False, error="out of memory")
    yield {node.name: node for node in made}
    for node in made:
        machines.leave(node)


def shown(browser, **query) -> str:
    return browser.get(reverse("nodes"), query).content.decode()


def names_in(text: str) -> list[str]:
    return [name for name in ("Able", "Busy", "Cracked", "Dormant") if f">{name}</a>" in text]


def test_an_empty_organisation_is_offered_one_thing_to_do(as_browser, alice, carol, acme):
    for user, may in ((alice, True), (carol, False)):
        text = shown(as_browser(user))
        assert "No machine yet" in text
        assert (f'href="{reverse("nodes-new")}" class="btn btn-primary' in text) is may


def test_each_state_has_its_word(as_browser, alice, lab):
    text = shown(as_browser(alice))
    for word in ("Online", "In use by its owner", "Needs attention", "out of memory", "Not connected yet"):
        assert word in text
    assert "4 machines" in text
    assert "3 connected" in text


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "able"}, ["Able"]),
        ({"q": "QWEN"}, ["Busy"]),
        ({"q": "shelf"}, ["Able", "Busy"]),
        ({"status": "online"}, ["Able"]),
        ({"status": "attention"}, ["Cracked"]),
        ({"status": "waiting"}, ["Dormant"]),
        ({"os": "linux"}, ["Able", "Busy", "Cracked", "Dormant"]),
        ({"os": "windows"}, []),
        ({"mode": "idle"}, ["Busy"]),
        ({"tag": "shelf"}, ["Able", "Busy"]),
        ({"tag": "shelf", "mode": "idle"}, ["Busy"]),
        ({"status": "nonsense", "os": "beos"}, ["Able", "Busy", "Cracked", "Dormant"]),
    ],
)
def test_the_list_is_narrowed_by_what_stands_in_its_address(as_browser, alice, lab, query, names):
    Node.objects.filter(name__in=["Able", "Busy"]).update(tags=["shelf"])
    Node.objects.filter(name="Busy").update(mode="idle")
    assert names_in(shown(as_browser(alice), **query)) == names


def test_what_each_earned_is_seen_by_those_who_may(as_browser, alice, carol, lab):
    earlier, today = timezone.now().date() - timedelta(days=31), timezone.now().date()
    model = lab["Able"].served_models.get()
    for day, earned, taken in (today, 1_230_000_000, 0), (earlier, 7_000_000_000, 0):
        Lot.objects.create(
            org=model.node.org, target_id=-model.pk, day=day, paid=earned, earned=earned, escrow=earned, taken=taken
        )
    assert "$1.23<" in shown(as_browser(alice))
    assert "$1.23<" not in shown(as_browser(carol))


def test_no_match_says_so_and_leads_back(as_browser, alice, lab):
    text = shown(as_browser(alice), q="nothing of that name")
    assert "No machine matches" in text
    assert f'href="{reverse("nodes")}"' in text


def test_a_token_of_another_organisation_finds_nothing(as_browser, alice, acme, lab, rival, as_mallory):
    foreign = create_token(rival, as_mallory).token
    text = shown(as_browser(alice), token=foreign.public_id)
    assert names_in(text) == []
    assert "Token of" not in text


def test_pages_keep_the_filters(as_browser, alice, acme, as_alice, monkeypatch):
    monkeypatch.setattr(page, "PAGE_ROWS", 2)
    plain = create_token(acme, as_alice, count=5).plain
    for number in range(5):
        machines.new_node(acme, as_alice, f"Rack {number}", plain, tags=["rack"])
    browser = as_browser(alice)
    first = shown(browser, tag="rack")
    assert "Rack 1" in first
    assert "Rack 2" not in first
    assert "?tag=rack&amp;page=2" in first
    assert "Rack 4" in shown(browser, tag="rack", page="3")
    assert "Rack 4" in shown(browser, tag="rack", page="99")


def test_todays_requests_count_those_of_guests_too(as_browser, alice, acme, rival, lab, log):
    target = -lab["Able"].served_models.get().pk
    record(acme, None, 1, target_id=target, target="node/able/llama3.1:8b")
    record(rival, None, 1, target_id=target, target="node/acme.able/llama3.1:8b")
    row = shown(as_browser(alice), q="able").split("<tbody>")[1]
    assert '<td class="num">2</td>' in row


def bulk(browser, act: str, *nodes: Node, **fields):
    said = {"act": act, "node": [node.public_id for node in nodes], "next": "/nodes?tag=rack", **fields}
    return browser.post(reverse("nodes-bulk"), said)


@pytest.mark.parametrize(
    ("act", "paused", "draining"), [("pause", True, False), ("drain", True, True), ("resume", False, False)]
)
def test_many_are_paused_drained_and_resumed(as_browser, alice, acme, lab, act, paused, draining):
    Node.objects.update(paused=act == "resume")
    response = bulk(as_browser(alice), act, lab["Able"], lab["Busy"])
    assert response.url == "/nodes?tag=rack"
    changed = Node.objects.filter(paused=paused).values_list("name", flat=True)
    assert {"Able", "Busy"} <= set(changed)
    assert (Node.objects.get(name="Able").draining_since is not None) is draining
    assert Node.objects.get(name="Dormant").draining_since is None


def test_tags_are_added_and_taken_off(as_browser, alice, acme, lab):
    browser = as_browser(alice)
    bulk(browser, "tag", lab["Able"], lab["Busy"], tag="Rack, gpu-24gb")
    assert Node.objects.get(name="Able").tags == ["gpu-24gb", "rack"]
    bulk(browser, "untag", lab["Able"], tag="rack")
    assert Node.objects.get(name="Able").tags == ["gpu-24gb"]
    assert Node.objects.get(name="Busy").tags == ["gpu-24gb", "rack"]
    assert AuditEvent.objects.of(acme).filter(action="node.updated").count() == 3


def test_a_wrong_tag_is_told_and_changes_nothing(as_browser, alice, acme, lab):
    response = as_browser(alice).post(
        reverse("nodes-bulk"), {"act": "tag", "node": lab["Able"].public_id, "tag": "two words"}, follow=True
    )
    assert "two words" in response.content.decode()
    assert Node.objects.get(name="Able").tags == []


def test_nothing_ticked_and_nothing_known_change_nothing(as_browser, alice, acme, lab):
    browser = as_browser(alice)
    assert "Tick the machines first" in browser.post(reverse("nodes-bulk"), {"act": "drain"}, follow=True).text
    assert browser.post(reverse("nodes-bulk"), {"act": "explode"}).status_code == 404
    assert not Node.objects.filter(paused=True).exists()


def test_it_leads_back_to_this_console_only(as_browser, alice, acme, lab):
    response = bulk(as_browser(alice), "pause", lab["Able"], next="https://evil.example/")
    assert response.url == reverse("nodes")


def test_nobody_changes_anothers_machines(as_browser, mallory, rival, lab):
    bulk(as_browser(mallory), "drain", lab["Able"])
    assert not Node.objects.filter(paused=True).exists()


@pytest.mark.parametrize("role", [roles.VIEWER, roles.DEVELOPER, roles.BILLING, roles.AUDITOR])
def test_who_may_not_manage_machines_is_refused(as_browser, acme, lab, make_user, join, role):
    browser = as_browser(join(acme, make_user(f"{role}@acme.test"), role).user)
    assert bulk(browser, "pause", lab["Able"]).status_code == 403
    assert browser.post(reverse("nodes-new"), {"size": "one"}).status_code == 403
    for name in ("nodes-models", "nodes-resume", "nodes-remove", "nodes-edit"):
        assert browser.post(reverse(name, args=[lab["Able"].public_id])).status_code == 403
    text = shown(browser)
    assert 'name="act"' not in text
    assert "Add a machine" not in text


def test_a_provider_manages_machines(as_browser, acme, lab, make_user, join):
    browser = as_browser(join(acme, make_user("p@acme.test"), roles.PROVIDER).user)
    bulk(browser, "pause", lab["Able"])
    assert Node.objects.get(name="Able").paused
    assert browser.post(reverse("nodes-new"), {"size": "one"}).status_code == 201


def test_fleets_are_summed_by_tag_and_by_token(as_browser, alice, acme, lab):
    Node.objects.filter(name__in=["Able", "Cracked"]).update(tags=["rack"])
    browser = as_browser(alice)
    by_tag = browser.get(reverse("nodes-fleets")).content.decode()
    assert 'href="/nodes?tag=rack"' in by_tag
    assert "1 / 2" in by_tag
    assert "Cracked" in by_tag
    assert "Without a tag" in by_tag
    assert "72 GB VRAM" in by_tag
    by_token = browser.get(reverse("nodes-fleets"), {"by": "token"}).content.decode()
    assert by_token.count("Token of ") == 4
    assert f"{timezone.now():%Y-%m-%d}" in by_token


def test_the_list_is_fetched_anew_as_a_fragment(as_browser, alice, lab):
    fragment = as_browser(alice).get(reverse("nodes"), headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in fragment
    assert names_in(fragment) == ["Able", "Busy", "Cracked", "Dormant"]
