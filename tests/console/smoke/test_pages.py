"""Buttons, the growing report, its downloads, the API and the command."""

from __future__ import annotations

import json
import time

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.models import SmokeRun
from console.smoke import runs
from console.smoke.report import FAILED, PASSED, RUNNING
from tests.console.api.conftest import manager_of


@pytest.fixture
def browser(routed) -> Client:
    browser = Client()
    browser.force_login(routed.owner)
    session = browser.session
    session["signed_in_at_s"] = timezone.now().timestamp()
    session.save()
    return browser


def ended(routed) -> SmokeRun:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        run = SmokeRun.objects.of(routed.org).first()
        if run is not None and run.is_over:
            return run
        time.sleep(0.1)
    raise AssertionError("it goes on")


def test_a_button_runs_its_check_and_leads_to_the_report(browser, routed):
    asked = browser.post(reverse("smoke"), {"checks": "answers", "route": "fast"})
    run = ended(routed)
    assert (asked.status_code, asked.url) == (302, reverse("smoke-run", args=[run.public_id]))
    assert (run.verdict, run.checks, run.route) == (PASSED, ["answers"], "fast")
    shown = browser.get(asked.url).content.decode()
    assert "“fast” answered with 200, by upstream-a/sim-chat" in shown
    assert 'http-equiv="refresh"' not in shown


def test_a_report_that_grows_is_fetched_again_with_and_without_a_script(browser, routed):
    run = runs.begin(routed.org, routed.actor, ["answers"])
    address = reverse("smoke-run", args=[run.public_id])
    assert "<noscript><a " in browser.get(address).content.decode()
    part = browser.get(address, headers={"HX-Request": "true"}).content.decode()
    assert 'hx-trigger="every 700ms"' in part
    assert "<html" not in part
    assert f'data-verdict="{RUNNING}"' in part


def test_a_second_run_is_refused_beside_the_form(browser, routed):
    runs.begin(routed.org, routed.actor)
    refused = browser.post(reverse("smoke"), {"checks": "answers"})
    assert refused.status_code == 422
    assert "A smoke test is running already" in refused.content.decode()


def test_a_developer_reads_and_does_not_run(client_of, acme, bob):
    assert client_of(bob).get(reverse("smoke")).status_code == 200
    assert client_of(bob).post(reverse("smoke"), {"checks": "answers"}).status_code == 403


def test_the_downloads_stand_on_their_own(browser, routed, run):
    done = run("answers", route="nowhere")
    address = reverse("smoke-download", args=[done.public_id])
    text = browser.get(address, {"format": "md"}).content.decode()
    assert text.startswith("# Smoke test: failed")
    assert "- [ ] “nowhere” answered with 404" in text
    told = json.loads(browser.get(address).content)
    assert (told["verdict"], told["checks"][0]["steps"][1]["facts"]["status"]) == (FAILED, 404)


def test_the_api_runs_it_and_shows_the_same(routed):
    api = manager_of(routed.org, routed.owner)
    begun = api.post("smoke", {"checks": ["answers"]})
    assert (begun.status_code, begun.json()["status"]) == (202, "running")
    assert api.post("smoke", {"checks": ["weather"]}).status_code == 400
    ended(routed)
    shown = api.get(f"smoke/{begun.json()['id']}").json()
    assert (shown["status"], shown["verdict"], shown["checks"][0]["check"]) == ("ended", PASSED, "answers")
    assert [each["id"] for each in api.get("smoke").json()["data"]] == [shown["id"]]


def test_a_repeated_post_begins_no_second_run(routed):
    api = manager_of(routed.org, routed.owner)
    first, second = (api.post("smoke", {"checks": ["answers"]}, Idempotency_Key="once") for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert ended(routed).verdict == PASSED


def test_the_command_says_each_step_and_ends_with_the_verdict(routed, capsys):
    call_command("smoke", routed.org.slug, "--check", "answers")
    assert "ok An answer from each route: “plain” answered with 200" in capsys.readouterr().out
    with pytest.raises(CommandError) as failed:
        call_command("smoke", routed.org.slug, "--check", "answers", "--route", "nowhere", "--format", "json")
    assert failed.value.returncode == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == FAILED


def test_the_gateway_of_the_console_itself_serves_the_page(gateway, routed):
    """In the process that also answers the calls of the run."""
    browser = Client()
    browser.force_login(routed.owner)
    session = browser.session
    session["signed_in_at_s"] = timezone.now().timestamp()
    session.save()
    cookies = {"sessionid": browser.cookies["sessionid"].value}
    with httpx.Client(base_url=gateway.url, cookies=cookies, timeout=30) as real:
        token = real.get("/smoke").text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        begun = real.post(
            "/smoke",
            data={"csrfmiddlewaretoken": token, "checks": "answers"},
            headers={"Referer": gateway.url},
        )
    assert begun.status_code == 302, begun.text[:500]
    assert ended(routed).verdict == PASSED
