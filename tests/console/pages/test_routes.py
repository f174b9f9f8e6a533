"""Routes on their pages: written as a draft, looked at, published, brought back; and who may."""

from __future__ import annotations

import pytest
from django.urls import reverse

from console.forms.routes import RouteForm, initial_of
from console.route_sentences import sentences
from nodes.enrolment import create_token
from nodes.findings import store_models
from nodes.reports import parse
from routing.drafts import save_draft
from routing.models import Route, RouteDraft
from routing.services import put_route
from routing.versions import content_of
from tests.console.pages.conftest import connect
from tests.nodes.machine import Machine

pytestmark = pytest.mark.django_db

FORM = {
    "name": "fast",
    "strategy": "weighted",
    "use": "aurora/demo-chat weight 3\ndemo-chat",
    "fall_back": "aurora/demo-embed",
    "enabled": "on",
}


@pytest.fixture
def owner(as_browser, alice, acme, connection):
    return as_browser(alice)


@pytest.fixture
def machine(acme, as_alice):
    node = Machine().enrol(create_token(acme, as_alice).plain, name="Office").json()["node"]
    store_models(node, parse({"models": [{"id": "llama", "runtime": "ollama"}]}).models)


def text_of(response) -> str:
    return response.content.decode()


def test_a_route_is_written_tested_and_published(owner, acme):
    saved = owner.post(reverse("routes-new"), FORM)
    assert saved.url == reverse("routes-show", args=["fast"])
    assert not Route.objects.of(acme).exists()
    shown = text_of(owner.get(saved.url))
    assert "aurora/demo-chat × 3" in shown
    assert "then fall back to" in shown
    owner.post(reverse("routes-publish", args=["fast"]))
    route = Route.objects.of(acme).get()
    assert [(leg["target"], leg["weight"], leg["tier"]) for leg in route.targets] == [
        ("aurora/demo-chat", 3, 0),
        ("demo-chat", 1, 0),
        ("aurora/demo-embed", 1, 1),
    ]
    assert not RouteDraft.objects.of(acme).exists()


def test_a_version_is_brought_back(owner, acme, as_alice):
    put_route(acme, as_alice, "team/fast", {"targets": [{"target": "demo-chat"}]})
    put_route(acme, as_alice, "team/fast", {"targets": [{"target": "demo-chat"}], "strategy": "cheapest"})
    assert "Roll back to 1" in text_of(owner.get(reverse("routes-show", args=["team/fast"])))
    owner.post(reverse("routes-rollback", args=[1, "team/fast"]))
    assert Route.objects.of(acme).get().strategy == "priority"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"use": "aurora/demo-chatt"}, "aurora/demo-chat”?"),
        ({"use": "aurora/demo-chat heavy"}, "is not a target with or without a weight"),
        ({"name": "two words"}, "without spaces"),
        ({"private": "on", "queue_above": "2"}, "never leaves your own machines"),
    ],
)
def test_a_mistake_is_told_beside_its_field_and_what_was_typed_stays(owner, acme, wrong, told):
    response = owner.post(reverse("routes-new"), FORM | wrong)
    assert response.status_code == 422
    assert told in text_of(response)
    assert "aurora/demo-embed" in text_of(response)
    assert not RouteDraft.objects.of(acme).exists()


@pytest.mark.parametrize("slug", ["cheapest-then-my-node", "my-nodes-first", "private-only"])
def test_a_template_makes_a_draft_with_one_click(owner, acme, machine, slug):
    page = text_of(owner.get(reverse("routes")))
    assert page.index("Cheapest, then my node on error") < page.index("My nodes first") < page.index("Private only")
    made = owner.post(reverse("routes-template", args=[slug]))
    draft = RouteDraft.objects.of(acme).get()
    assert made.url == reverse("routes-show", args=[draft.name])
    assert "node/office/llama" in {leg["target"] for leg in draft.content["targets"]}
    again = owner.post(reverse("routes-template", args=[slug]))
    assert again.url != made.url


def test_a_template_that_takes_a_machine_says_so_where_there_is_none(owner, acme):
    assert "Takes a machine of yours." in text_of(owner.get(reverse("routes")))
    assert owner.post(reverse("routes-template", args=["private-only"])).status_code == 404


def test_what_the_form_shows_is_what_it_saves(owner, acme, as_alice):
    wishes = {
        "strategy": "weighted",
        "targets": [{"target": "demo-chat", "weight": 7}, {"target": "aurora/demo-chat", "tier": 1}],
        "spill_over": {"queue_above": 3},
        "timeouts": {"first_byte_s": 20},
        "continue_streams": True,
        "hedge": {"after_ms": 200, "most_percent": 10, "most_extra_usd": "0.01"},
    }
    content = content_of(put_route(acme, as_alice, "fast", wishes))
    assert content.pop("rules") == []
    initial = {name: value for name, value in initial_of("fast", content).items() if value not in (None, False)}
    form = RouteForm(initial)
    assert form.is_valid(), form.errors
    assert form.content() == content


LATER = {
    "each its own": ([1, 2], "demo-chat\naurora/demo-embed weight 3"),
    "one for both": ([1, 1], "demo-chat tier 1\naurora/demo-embed weight 3 tier 1"),
    "a gap": ([2, 5], "demo-chat tier 2\naurora/demo-embed weight 3 tier 5"),
}


@pytest.mark.parametrize(("tiers", "lines"), LATER.values(), ids=LATER)
def test_tiers_that_targets_share_survive_the_form(owner, acme, as_alice, tiers, lines):
    later = [{"target": "demo-chat"}, {"target": "aurora/demo-embed", "weight": 3}]
    legs = [leg | {"tier": tier} for leg, tier in zip(later, tiers, strict=True)]
    put_route(acme, as_alice, "fast", {"targets": [{"target": "aurora/demo-chat"}, *legs]})
    address = reverse("routes-edit", args=["fast"])
    shown = owner.get(address).context["form"].initial
    assert shown["fall_back"] == lines
    owner.post(address, {name: value for name, value in shown.items() if value not in (None, False)})
    assert [leg["tier"] for leg in RouteDraft.objects.of(acme).get().content["targets"]] == [0, *tiers]


def test_a_line_without_a_tier_comes_after_the_one_before_it():
    form = RouteForm(FORM | {"fall_back": "a\nb tier 4\nc tier 4\nd"})
    assert form.is_valid(), form.errors
    assert [leg["tier"] for leg in form.content()["targets"][2:]] == [1, 4, 4, 5]
    assert "fall_back" in RouteForm(FORM | {"fall_back": "a tier 0"}).errors
    assert "use" in RouteForm(FORM | {"use": "a tier 1"}).errors


def test_a_sentence_says_the_whole_route():
    content = {
        "strategy": "cheapest",
        "targets": [{"target": "a/m"}, {"target": "b/m"}, {"target": "node/x/m", "tier": 2}],
        "spill_over": {"queue_above": 2},
        "private": False,
    }
    [only] = sentences("m", content)
    said = [(clause.word, clause.text, [name for name, _weight in clause.targets]) for clause in only]
    assert said == [
        ("when", "asked for “m”", []),
        ("use", "the cheapest", ["a/m", "b/m"]),
        ("then fall back to", "", ["node/x/m"]),
        ("own machines first", "unless more than 2 requests wait there", []),
    ]


WRITES = [
    ("routes-template", ["private-only"]),
    ("routes-publish", ["fast"]),
    ("routes-discard", ["fast"]),
    ("routes-rollback", [1, "fast"]),
    ("routes-delete", ["fast"]),
]


@pytest.mark.parametrize(("name", "arguments"), WRITES)
def test_a_viewer_cannot_edit(as_browser, carol, acme, connection, as_alice, name, arguments):
    put_route(acme, as_alice, "fast", {"targets": [{"target": "demo-chat"}]})
    assert as_browser(carol).post(reverse(name, args=arguments)).status_code == 403
    assert "Write a route" not in text_of(as_browser(carol).get(reverse("routes")))


@pytest.mark.parametrize(("name", "arguments"), WRITES)
def test_a_rival_finds_nothing_to_change(
    as_browser, mallory, rival, acme, connection, as_alice, as_mallory, name, arguments
):
    put_route(acme, as_alice, "fast", {"targets": [{"target": "demo-chat"}]})
    connect(rival, as_mallory, "Cygnus")
    assert as_browser(mallory).post(reverse(name, args=arguments)).status_code == 404
    assert Route.objects.of(acme).exists()


RULES = [
    'when tag is "batch" and data class is "internal" use cheapest of "demo-chat"',
    'when header "x-team" is "red" use priority of "aurora/demo-chat"'
    ' then on timeout or rate_limit fall back to priority of "demo-embed"',
]


def told_by(owner, **asked):
    response = owner.get(reverse("route-tester"), {"model": "fast", "kind": "chat", **asked})
    assert response.status_code == 200, response.context["form"].errors
    return response.context["told"], text_of(response)


def test_the_tester_asks_about_all_that_rules_ask_about(owner, acme, as_alice):
    legs = [{"target": "aurora/demo-chat"}]
    put_route(acme, as_alice, "fast", {"targets": legs, "rules": RULES})
    assert told_by(owner)[0].rule is None
    assert told_by(owner, tags="nightly, batch", data_class="internal")[0].rule == 1
    told, shown = told_by(owner, headers="X-Team: red\nx-other: a, b")
    assert told.rule == 2
    assert '<details class="text-sm group" open>' in shown
    save_draft(acme, as_alice, "fast", {"targets": legs, "rules": RULES[:1]})
    assert told_by(owner, headers="x-team: red", draft="on")[0].rule is None


@pytest.mark.parametrize(
    ("wrong", "field"), [({"headers": "no colon"}, "headers"), ({"key": "k"}, "key"), ({"draft": "on"}, "draft")]
)
def test_the_tester_tells_a_mistake_beside_its_field(owner, wrong, field):
    response = owner.get(reverse("route-tester"), {"model": "demo-chat", "kind": "chat", **wrong})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]


def test_the_tester_says_after_what_one_falls_back(owner, acme, as_alice):
    rule = RULES[1].replace('of "demo-embed"', 'of "basic/demo-chat"')
    connect(acme, as_alice, name="Basic", models=[("demo-chat", "chat")])
    put_route(acme, as_alice, "fast", {"targets": [{"target": "aurora/demo-chat"}], "rules": [rule]})
    assert "only after a timeout or a rate limit (429)" in told_by(owner, headers="x-team: red")[1]
