"""The editor of rules: each button sends the form and changes the page; mistakes stand beside their fields."""

from __future__ import annotations

import re

import pytest
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from accounts.models import ApiKey
from console.forms.route_rules import RuleEditor, of_post, of_sentences
from console.route_sentences import changes, sentences
from routing.models import Route, RouteDraft
from routing.services import put_route

pytestmark = pytest.mark.django_db

ROUTE = {"name": "fast", "strategy": "priority", "use": "demo-chat", "enabled": "on"}
FIRST = {
    "rule0-tags": "batch\nnight",
    "rule0-data_classes": ["internal", "confidential"],
    "rule0-prompt_over_tokens": "1000",
    "rule0-starts": "22:00",
    "rule0-ends": "06:00",
    "rule0-strategy": "weighted",
    "rule0-targets": "aurora/demo-chat weight 3\ndemo-chat tier 1",
    "rule0-fallbacks": "1",
    "rule0-fallback0-causes": ["timeout", "rate_limit"],
    "rule0-fallback0-strategy": "priority",
    "rule0-fallback0-targets": "aurora/demo-embed",
}
SECOND = {"rule1-headers": "X-Team: red", "rule1-strategy": "cheapest", "rule1-targets": "demo-chat"}
TWO = ROUTE | {"rules": "2"} | FIRST | SECOND
SAID = [
    'when tag is "batch" or "night" and data class is "internal" or "confidential" and prompt is over 1000 tokens '
    'and time is from 22:00 to 06:00 use weighted of "aurora/demo-chat" weight 3, "demo-chat" tier 1 '
    'then on timeout or rate_limit fall back to priority of "aurora/demo-embed"',
    'when header "x-team" is "red" use cheapest of "demo-chat"',
]


@pytest.fixture
def owner(as_browser, alice, acme, connection):
    return as_browser(alice)


def text_of(response) -> str:
    return response.content.decode()


def shown_targets(page: str) -> list[str]:
    """What the field of each rule's targets holds."""
    return [
        text.strip() for text in re.findall(r'<textarea name="rule\d+-targets"[^>]*>(.*?)</textarea>', page, re.S)
    ]


def test_rules_are_written_read_as_sentences_and_published(owner, acme):
    saved = owner.post(reverse("routes-new"), TWO)
    assert saved.status_code == 302, text_of(saved)
    assert RouteDraft.objects.of(acme).get().content["rules"] == SAID
    shown = text_of(owner.get(saved.url))
    assert "the tag is “batch” or “night” and the data is “internal” or “confidential”" in shown
    assert "on a timeout or a rate limit (429):" in shown
    assert "otherwise" in shown
    owner.post(reverse("routes-publish", args=["fast"]))
    assert Route.objects.of(acme).get().rules == SAID


def test_a_rule_that_asks_for_nobody_is_saved_with_a_warning(owner, acme, alice, key):
    asks = {"rule0-keys": f"{key.name}\nShop", "rule0-members": f"{alice.email}\ngone@acme.test"}
    rule = {"rules": "1", "rule0-strategy": "cheapest", "rule0-targets": "demo-chat"} | asks
    saved = owner.post(reverse("routes-new"), ROUTE | rule)
    assert saved.status_code == 302, text_of(saved)
    shown = text_of(owner.get(saved.url))
    assert "No API key in use is called “Shop”." in shown
    assert "No member has the e-mail address “gone@acme.test”." in shown
    assert shown.count("fits no request") == 2
    ApiKey.objects.update(revoked_at=timezone.now())
    saved = owner.post(reverse("routes-edit", args=["fast"]), ROUTE | rule)
    assert f"No API key in use is called “{key.name}”." in text_of(owner.get(saved.url))


def test_what_is_shown_for_editing_is_what_is_saved(owner, acme, as_alice):
    put_route(acme, as_alice, "fast", {"targets": [{"target": "demo-chat"}], "rules": SAID})
    page = text_of(owner.get(reverse("routes-edit", args=["fast"])))
    assert shown_targets(page) == ["aurora/demo-chat weight 3\ndemo-chat tier 1", "demo-chat"]
    assert "it is between 22:00 and 06:00" in page


@pytest.mark.parametrize(
    ("act", "targets"),
    [
        ("add", ["first", "demo-chat", ""]),
        ("remove:0", ["demo-chat"]),
        ("remove:1", ["first"]),
        ("up:1", ["demo-chat", "first"]),
        ("down:0", ["demo-chat", "first"]),
        ("up:0", ["first", "demo-chat"]),
        ("down:1", ["first", "demo-chat"]),
        ("remove:7", ["first", "demo-chat"]),
        ("remove:-1", ["first", "demo-chat"]),
        ("what:ever:x", ["first", "demo-chat"]),
    ],
)
def test_a_button_changes_the_page_and_saves_nothing(owner, acme, act, targets):
    sent = TWO | {"rule0-targets": "first", "use": "typed already", "act": act}
    answer = owner.post(reverse("routes-new"), sent)
    page = text_of(answer)
    assert answer.status_code == 200
    assert shown_targets(page) == targets
    assert "typed already" in page
    assert 'role="alert"' not in page
    assert not RouteDraft.objects.of(acme).exists()


def test_fallbacks_are_added_and_removed(owner):
    more = text_of(owner.post(reverse("routes-new"), TWO | {"act": "fallback:1"}))
    assert 'name="rule1-fallback0-targets"' in more
    fewer = text_of(owner.post(reverse("routes-new"), TWO | {"act": "unfallback:0:0"}))
    assert "fallback0-targets" not in fewer


@pytest.mark.parametrize(
    ("wrong", "field", "told"),
    [
        ({"rule0-targets": ""}, "rule0-targets", "This field is required."),
        ({"rule0-targets": "demo-chat heavy 3"}, "rule0-targets", "is not a target with or without a weight"),
        ({"rule0-targets": "demo-chat weight 0"}, "rule0-targets", "weight above 0"),
        ({"rule0-targets": "aurora/demo-chatt"}, "rule0-targets", "aurora/demo-chat”?"),
        ({"rule0-targets": "fast"}, "rule0-targets", "A route cannot lead to itself."),
        ({"rule0-ends": ""}, "rule0-ends", "Give both times, or neither."),
        ({"rule0-ends": "22:00"}, "rule0-ends", "begin and end at the same time"),
        ({"rule0-prompt_under_tokens": "1001"}, "rule0-prompt_under_tokens", "No prompt is over 1000"),
        ({"rule0-fallback0-targets": "nothing"}, "rule0-fallback0-targets", "no model or target “nothing”"),
        ({"rule1-headers": "x-team"}, "rule1-headers", "is not a header and its value"),
    ],
)
def test_a_mistake_is_told_beside_its_field_and_what_was_typed_stays(owner, acme, wrong, field, told):
    answer = owner.post(reverse("routes-new"), TWO | wrong)
    page = text_of(answer)
    assert answer.status_code == 422
    [beside] = re.findall(rf'<div id="id_{field}_error" role="alert">(.*?)</div></div>', page, re.S)
    assert told in beside
    assert "aurora/demo-embed" in page or "rule0-fallback0-targets" in wrong
    assert not RouteDraft.objects.of(acme).exists()


def test_what_makes_no_sense_as_a_whole_is_told_above_the_rule(owner):
    secret = owner.post(reverse("routes-new"), TWO | {"rule1-headers": "Authorization: Bearer x"})
    assert secret.status_code == 422
    assert "headers that carry secrets" in text_of(secret)


@pytest.mark.parametrize(
    "sentence",
    [
        *SAID,
        'use priority of "a"',
        'when model is "fast" or "good, and cheap" and key is "Night jobs" and member is "bob@acme.test" '
        'and data class is "public" and header "x-a" is "1:2" or "3" and header "x-b" is "ü" '
        "and prompt is over 0 tokens and prompt is under 9 tokens and budget is over 80 percent "
        'and time is from 00:00 to 23:59 use sticky of "a" weight 0, "b" weight 2 tier 3 '
        'then on unavailable fall back to fastest of "c" then fall back to round_robin of "d", "e" tier 1',
    ],
)
def test_every_rule_survives_the_form(sentence):
    editor = RuleEditor(of_sentences([sentence]), checks=True)
    assert editor.is_valid(), [card.form.errors for card in editor.cards]
    assert editor.sentences() == [sentence]


def test_numbers_of_what_was_sent_are_bounded():
    assert len(of_post(QueryDict("rules=99999"))) == 50
    assert of_post(QueryDict("rules=-1")) == of_post(QueryDict("rules=x")) == []


BEFORE = {"strategy": "priority", "targets": [{"target": "m"}], "rules": SAID}


def test_how_those_are_chosen_who_serve_a_model_is_said():
    """One name of a model is many targets; one target is one, whatever chooses."""
    before, after = (
        {"strategy": how, "targets": [{"target": "demo-chat"}, {"target": "aurora/demo-chat", "tier": 1}]}
        for how in ("cheapest", "fastest")
    )
    found = [change.text for change in changes("fast", before, after)]
    assert found == ["use the cheapest demo-chat", "use the fastest demo-chat"]


def test_versions_differ_in_sentences():
    after = BEFORE | {"rules": [SAID[1]], "private": True}
    found = [(change.is_new, change.text) for change in changes("fast", BEFORE, after)]
    assert [is_new for is_new, _text in found] == [False, False, True, True]
    assert found[2][1] == "1. when the header x-team is “red” · use the cheapest demo-chat"
    assert found[3][1] == "never outside your own machines"
    assert changes("fast", BEFORE, BEFORE) == []


def test_they_read_in_thai_as_well():
    with override("th"):
        told = " ".join(str(clause) for sentence in sentences("fast", BEFORE) for clause in sentence)
    assert "when" not in told
    assert "เมื่อ" in told


def test_a_version_shows_what_it_changed(owner, acme, as_alice):
    put_route(acme, as_alice, "fast", {"targets": [{"target": "demo-chat"}]})
    put_route(acme, as_alice, "fast", {"targets": [{"target": "demo-chat"}], "rules": [SAID[1]]})
    page = text_of(owner.get(reverse("routes-show", args=["fast"])))
    assert "1. when the header x-team is “red” · use the cheapest demo-chat" in page


def test_a_viewer_cannot_edit(as_browser, carol, acme, connection, as_alice):
    put_route(acme, as_alice, "fast", {"targets": [{"target": "demo-chat"}]})
    viewer = as_browser(carol)
    for address in (reverse("routes-new"), reverse("routes-edit", args=["fast"])):
        assert viewer.get(address).status_code == 403
        assert viewer.post(address, TWO).status_code == 403
    assert not RouteDraft.objects.of(acme).exists()


def test_a_rival_edits_nothing_of_ours(as_browser, mallory, rival, acme, connection, as_alice):
    put_route(acme, as_alice, "fast", {"targets": [{"target": "demo-chat"}]})
    assert as_browser(mallory).post(reverse("routes-edit", args=["fast"]), TWO).status_code == 404
