from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from routing.models import Drill
from tests.console.api.conftest import refused

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def providers(api):
    for name in ("Up", "Other"):
        models = [{"id": "small"}]
        body = {"name": name, "base_url": "https://llm.example.com/v1", "api_keys": ["k"], "models": models}
        api.post("providers", body)


def reasons(api) -> dict[str, str]:
    return {one["target"]: one["reason"] for one in api.post("routes/explain", {"model": "small"}).json()["dropped"]}


@pytest.mark.parametrize("name", ["up", "up/small"])
def test_a_drill_drops_its_target_with_a_reason_until_it_is_ended(api, acme, name):
    made = api.post("drills", {"target": name, "seconds": 60})
    assert made.status_code == 201
    assert reasons(api) == {"up/small": "drill"}
    assert api.delete(f"drills/{made.json()['id']}").status_code == 204
    assert reasons(api) == {}
    told = AuditEvent.objects.of(acme).filter(object_type="drill").order_by("sequence")
    assert [*told.values_list("action", flat=True)] == ["drill.started", "drill.ended"]


def test_both_down_is_a_refusal_that_says_when_to_come_back(api):
    for name in ("up", "other"):
        api.post("drills", {"target": name, "seconds": 60})
    told = api.post("routes/explain", {"model": "small"}).json()
    assert told["refusal"]["status"] == 503
    assert [0 < one["retry_after_s"] <= 60 for one in told["dropped"]] == [True, True]


def test_it_is_of_this_organisation_alone(api, rival_api):
    models = [{"id": "small"}]
    body = {"name": "Up", "base_url": "https://llm.example.com/v1", "api_keys": ["k"], "models": models}
    rival_api.post("providers", body)
    api.post("drills", {"target": "up", "seconds": 60})
    assert reasons(rival_api) == {}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"target": "gone", "seconds": 60}, "target"),
        ({"target": "up", "seconds": 0}, "seconds"),
        ({"target": "up", "seconds": 3601}, "seconds"),
        ({"target": "up"}, "seconds"),
    ],
)
def test_a_mistake_is_refused_with_its_field(api, acme, body, param):
    assert refused(api.post("drills", body), 400, "invalid_request", param)
    assert not Drill.objects.of(acme).exists()


def test_the_page_begins_shows_and_ends_it(client_of, alice, acme):
    browser = client_of(alice)
    browser.post(reverse("drills-start"), {"target": "up", "seconds": "60"})
    drill = Drill.objects.of(acme).get()
    assert f'data-until="{int(drill.until.timestamp())}"' in browser.get(reverse("route-tester")).content.decode()
    browser.post(reverse("drills-end", args=[drill.public_id]))
    assert "data-until" not in browser.get(reverse("route-tester")).content.decode()


def test_a_viewer_sees_drills_and_begins_and_ends_none(client_of, api, carol, acme):
    api.post("drills", {"target": "up", "seconds": 60})
    browser, drill = client_of(carol), Drill.objects.of(acme).get()
    assert "data-until" in browser.get(reverse("route-tester")).content.decode()
    assert browser.post(reverse("drills-start"), {"target": "up", "seconds": "60"}).status_code == 403
    assert browser.post(reverse("drills-end", args=[drill.public_id])).status_code == 403


def test_a_rival_finds_no_drill_to_end(client_of, api, mallory, rival, acme):
    api.post("drills", {"target": "up", "seconds": 60})
    drill = Drill.objects.of(acme).get()
    assert client_of(mallory).post(reverse("drills-end", args=[drill.public_id])).status_code == 404
