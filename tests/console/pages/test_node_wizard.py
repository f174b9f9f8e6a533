"""Adding machines: tokens, lines, the ladder."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from console.pages.node_wizard import PLATFORMS, platform_of
from nodes.commands import commands
from nodes.enrolment import create_token
from nodes.models import EnrolmentToken
from tests.console.pages import machines
from tests.nodes.machine import Machine


def made(browser, **fields):
    response = browser.post(reverse("nodes-new"), {"size": "one", "count": "10", "ttl": "86400"} | fields)
    assert response.status_code == 201, response.content.decode()[:2000]
    return response


def progress(browser, token: EnrolmentToken) -> str:
    address = reverse("nodes-token", args=[token.public_id])
    return browser.get(address, headers={"HX-Request": "true"}).content.decode()


def rungs_in(text: str) -> list[str]:
    return [part.split('"')[0] for part in text.split('data-state="')[1:]]


def test_a_token_comes_with_a_line_for_each_system(as_browser, alice, acme, settings):
    settings.PUBLIC_URL = "https://ai.example.com"
    response = made(as_browser(alice))
    token = EnrolmentToken.objects.of(acme).get()
    plain = response.context["commands"]["ubuntu"].split("SHAREAI_NODE_TOKEN=")[1].split()[0]
    assert response.context["commands"] == commands("https://ai.example.com", plain)
    assert {name for name, _label in PLATFORMS} == set(response.context["commands"])
    assert (token.count, token.expires_at - token.created_at) == (1, timedelta(minutes=15))
    assert Machine().enrol(plain).status_code == 201


def test_the_token_stands_in_that_answer_alone(as_browser, alice, acme):
    browser = as_browser(alice)
    plain = made(browser).context["commands"]["docker"].split()[2]
    assert plain.startswith("sai-node-")
    token = EnrolmentToken.objects.of(acme).get()
    for address in (reverse("nodes-token", args=[token.public_id]), reverse("nodes-new"), reverse("audit")):
        assert plain not in browser.get(address).content.decode()
    assert "no-store" in made(browser)["Cache-Control"]


def test_a_fleet_token_has_a_count_and_an_end(as_browser, alice, acme):
    made(as_browser(alice), size="fleet", count="50", ttl="604800")
    token = EnrolmentToken.objects.of(acme).get()
    assert (token.count, token.expires_at - token.created_at) == (50, timedelta(days=7))


@pytest.mark.parametrize(
    ("wrong", "field"), [({"count": "0"}, "count"), ({"count": ""}, "count"), ({"ttl": "5"}, "ttl")]
)
def test_a_wrong_field_of_a_fleet_is_told_and_the_rest_stays(as_browser, alice, acme, wrong, field):
    said = {"size": "fleet", "count": "12", "ttl": "3600"} | wrong
    response = as_browser(alice).post(reverse("nodes-new"), said)
    assert response.status_code == 422
    assert response.context["form"].errors.keys() == {field}
    assert 'value="fleet" checked' in response.content.decode()
    assert not EnrolmentToken.objects.exists()


def test_for_one_machine_the_fields_of_a_fleet_do_not_count(as_browser, alice, acme):
    made(as_browser(alice), count="", ttl="")
    assert EnrolmentToken.objects.of(acme).get().count == 1


@pytest.mark.parametrize(
    ("agent", "platform"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140", "windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari", "macos"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "ubuntu"),
        ("", "ubuntu"),
    ],
)
def test_the_system_one_sits_at_comes_first(as_browser, alice, acme, agent, platform):
    assert platform_of(agent) == platform
    response = as_browser(alice).post(reverse("nodes-new"), {"size": "one"}, headers={"User-Agent": agent})
    assert response.context["chosen"] == platform


def test_the_ladder_is_climbed(as_browser, alice, acme, as_alice):
    browser, wanted = as_browser(alice), create_token(acme, as_alice)
    assert rungs_in(progress(browser, wanted.token)) == ["waiting"] * 7
    node = machines.new_node(acme, as_alice, plain=wanted.plain)
    assert rungs_in(progress(browser, wanted.token)) == ["done"] + ["waiting"] * 6
    machines.connect(node)
    assert rungs_in(progress(browser, wanted.token)) == ["done"] * 3 + ["waiting"] * 4
    machines.list_models(node)
    assert rungs_in(progress(browser, wanted.token)) == ["done"] * 5 + ["waiting"] * 2
    machines.pass_trial(node, ok=False, error="out of memory")
    failed = progress(browser, wanted.token)
    assert rungs_in(failed) == ["done"] * 5 + ["failed", "waiting"]
    assert "out of memory" in failed
    assert "shareai-node doctor" in failed
    machines.pass_trial(node)
    assert rungs_in(progress(browser, wanted.token)) == ["done"] * 7
    machines.leave(node)


def test_it_is_tried_when_it_is_there(as_browser, alice, acme, as_alice):
    browser, wanted = as_browser(alice), create_token(acme, as_alice)
    address = reverse("nodes-token", args=[wanted.token.public_id]) + "?part=try"
    assert browser.get(address).status_code == 204
    node = machines.serving(machines.new_node(acme, as_alice, plain=wanted.plain))
    tried = browser.get(address).content.decode()
    assert f'value="node/{node.slug}/{machines.MODEL}"' in tried
    machines.leave(node)


def test_a_fleet_shows_who_is_in_and_what_is_missing(as_browser, alice, acme, as_alice):
    wanted = create_token(acme, as_alice, count=50, ttl_s=3600)
    fine = machines.serving(machines.new_node(acme, as_alice, "Rack 1", wanted.plain))
    broken = machines.new_node(acme, as_alice, "Rack 2", wanted.plain)
    machines.connect(broken, accepting=False, reason="no_local_server")
    text = progress(as_browser(alice), EnrolmentToken.objects.get(pk=wanted.token.pk))
    assert "2 of 50 machines are in" in text
    assert "1 takes requests" in text
    assert "Needs attention" in text
    machines.leave(fine)
    machines.leave(broken)


def test_an_expired_token_says_so(as_browser, alice, acme, as_alice):
    token = create_token(acme, as_alice).token
    EnrolmentToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    text = as_browser(alice).get(reverse("nodes-token", args=[token.public_id])).content.decode()
    assert "This token has expired" in text
    assert "New token" in text


def test_a_token_is_withdrawn(as_browser, alice, acme, as_alice):
    browser, wanted = as_browser(alice), create_token(acme, as_alice, count=5, ttl_s=3600)
    assert reverse("nodes-token", args=[wanted.token.public_id]) in browser.get(reverse("nodes-new")).content.decode()
    after = browser.post(reverse("nodes-token-revoke", args=[wanted.token.public_id]), follow=True)
    assert "This token is withdrawn" in after.content.decode()
    assert Machine().enrol(wanted.plain).status_code == 401
    assert wanted.token.public_id not in browser.get(reverse("nodes-new")).content.decode()


def test_nobody_follows_or_withdraws_anothers_token(as_browser, mallory, rival, acme, as_alice):
    browser, token = as_browser(mallory), create_token(acme, as_alice).token
    assert browser.get(reverse("nodes-token", args=[token.public_id])).status_code == 404
    assert browser.post(reverse("nodes-token-revoke", args=[token.public_id])).status_code == 404
    token.refresh_from_db()
    assert token.revoked_at is None
