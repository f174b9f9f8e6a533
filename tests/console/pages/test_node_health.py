"""What a machine's page says of the health of its models and of what is doubted, and what people may do about it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.models import AuditEvent
from nodes import recount
from nodes.doubts import store_doubts
from nodes.models import COMMUNITY, Node, NodeDoubt
from nodes.recount import Recount
from nodes.sources import target_id_of
from providers.adapters.base import COUNTED, REPORTED, TokenUsage
from providers.models import HealthChange
from routing.health_news import Told
from routing.health_rows import write_breakers
from tests.console.pages import machines

pytestmark = pytest.mark.django_db


@pytest.fixture
def node(acme, as_alice):
    node = machines.serving(machines.new_node(acme, as_alice))
    yield node
    machines.leave(node)


def page_of(browser, node: Node) -> str:
    return browser.get(reverse("nodes-detail", args=[node.public_id])).content.decode()


def switch(node: Node) -> str:
    return reverse("nodes-model-health", args=[node.public_id, node.served_models.get().public_id])


@pytest.mark.parametrize("language", ["en", "th"])
def test_what_failed_is_told_with_its_reason(as_browser, alice, node, language):
    target_id = target_id_of(node.served_models.get())
    write_breakers([Told(target_id, 0, timezone.now().timestamp() + 60, "first_byte_timeout")])
    said = "no first byte in time" if language == "en" else "ไม่ได้รับไบต์แรกภายในเวลา"
    assert page_of(as_browser(alice, language), node).count(said) == 2, "of the model, and in the history"


def test_a_model_is_taken_out_of_use_and_reset_by_buttons(as_browser, alice, node):
    browser = as_browser(alice)
    held = browser.post(switch(node), {"wish": "hold"}, follow=True).content.decode()
    assert "Out of use by hand" in held
    assert 'value="reset"' in held
    assert 'value="hold"' not in held
    assert "All of its models are out of use" in held
    assert "Needs attention" in browser.get(reverse("nodes")).content.decode()
    assert "is in use again" in browser.post(switch(node), {"wish": "reset"}, follow=True).content.decode()
    shown = page_of(browser, node)
    assert 'value="hold"' in shown
    assert shown.count("set by hand · alice@acme.test") == 2
    assert [*HealthChange.objects.order_by("pk").values_list("after", flat=True)] == ["held_open", "closed"]


def test_the_fragment_is_the_health_alone(as_browser, alice, node):
    address = reverse("nodes-detail", args=[node.public_id]) + "?part=health"
    part = as_browser(alice).get(address, headers={"HX-Request": "true"}).content.decode()
    assert switch(node) in part
    assert "<html" not in part
    assert "Recent requests" not in part


def test_who_may_only_look_has_no_button(as_browser, carol, node):
    browser = as_browser(carol)
    assert switch(node) not in page_of(browser, node)
    assert browser.post(switch(node), {"wish": "hold"}).status_code == 403
    assert not HealthChange.objects.exists()


def test_anothers_machine_is_not_there(as_browser, mallory, rival, acme, as_alice, node):
    assert as_browser(mallory).post(switch(node), {"wish": "hold"}).status_code == 404
    assert not HealthChange.objects.exists()


def test_a_revoked_machine_is_not_switched(as_browser, alice, node):
    Node.objects.filter(pk=node.pk).update(revoked_at=timezone.now())
    browser = as_browser(alice)
    assert switch(node) not in page_of(browser, node)
    assert browser.post(switch(node), {"wish": "hold"}).status_code == 404


def doubt(node: Node, kind: str = recount.MORE_THAN_BYTES) -> None:
    said, counted = TokenUsage(40, 900, 0, REPORTED), TokenUsage(40, 21, 0, COUNTED)
    target_id = target_id_of(node.served_models.get())
    store_doubts(Recount("req_of_a_guest", target_id, said, counted, 100, 60), [kind])


def test_an_owner_reads_what_is_doubted_and_what_to_look_at(as_browser, alice, node):
    doubt(node)
    doubt(node)
    text = page_of(as_browser(alice), node).split('id="doubts"')[1].split("</section>")[0]
    what, advice = "It counted more output tokens than the answer had bytes", "Update the model server"
    for said in (what, advice, ">2<", "1,880", ">122<"):
        assert said in text
    assert "req_of_a_guest" not in text, "whose request it was is not the owner's to know"


def test_the_first_doubt_of_a_day_is_in_the_audit_trail(as_browser, alice, acme, node):
    doubt(node)
    doubt(node)
    doubt(node, recount.TOO_FAST)
    events = AuditEvent.objects.of(acme).filter(action="node.doubted").order_by("sequence")
    assert [event.after["doubt"] for event in events] == [recount.MORE_THAN_BYTES, recount.TOO_FAST]
    assert {(event.actor_type, event.object_id) for event in events} == {("system", node.public_id)}
    assert "req_of_a_guest" not in str([event.after for event in events])
    assert audit.verify(acme).ok
    assert "doubted what was said by the machine" in as_browser(alice).get(reverse("audit")).content.decode()


def test_a_private_machine_has_none_and_one_for_all_says_so(as_browser, alice, node):
    assert 'id="doubts"' not in page_of(as_browser(alice), node)
    Node.objects.filter(pk=node.pk).update(visibility=COMMUNITY)
    assert "Nothing was doubted in the last 30 days." in page_of(as_browser(alice), node)


def test_old_doubts_are_not_shown(as_browser, alice, node):
    doubt(node)
    NodeDoubt.objects.update(last_at=timezone.now() - timedelta(days=31))
    assert 'id="doubts"' not in page_of(as_browser(alice), node)


@pytest.mark.parametrize("kind", [
    recount.MORE_THAN_BYTES, recount.INFLATED, recount.PROMPT_INFLATED, recount.TOO_FAST, recount.WRONG_ANSWER,
    recount.NO_ANSWER,
])  # fmt: skip
def test_every_kind_has_words(as_browser, alice, node, kind):
    doubt(node, kind)
    text = page_of(as_browser(alice, "th"), node).split('id="doubts"')[1].split("</section>")[0]
    assert kind not in text
    assert kind.replace("_", " ") not in text
