"""Simulations by API and page: begun, run by a worker in batches, watched, cancelled; and by whom."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from routing import past
from routing.models import RouteDraft, Simulation
from routing.simulations import GIVEN_UP, MOST_KEPT, cancel_simulation, run_simulation, start_simulation
from tests.console.api.conftest import add_provider, attempt, error_of, refused

pytestmark = pytest.mark.django_db

DRAFT = {"targets": [{"target": "b/small"}]}


@pytest.fixture(autouse=True)
def draft(api):
    for name in ("A", "B"):
        add_provider(api, name, "small")
    api.put("routes/fast/draft", DRAFT)


@pytest.fixture
def traffic(log):
    """Five requests to `fast`, of which two do not count, and one to another name."""
    now = timezone.now()
    for name, fields in (
        ("1", {}),
        ("2", {}),
        ("3", {"status": 503}),
        ("4", {"status": 400}),
        ("5", {"cache": "HIT"}),
        ("6", {"route": "slow", "model": "slow"}),
        ("7", {"started_at": now - timedelta(hours=25)}),
    ):
        met = [attempt("a/small", duration_ms=300, started_ms=0)]
        ordinary = {"route": "fast", "target": "a/small", "attempts": met, "started_at": now}
        log(request_id=f"req_{name}", **ordinary | fields)


def begun(api, **wishes) -> dict:
    answer = api.post("routes/simulate", {"name": "fast", **wishes})
    assert answer.status_code == 201, answer.text
    return answer.json()


def run(simulation: dict) -> None:
    run_simulation(Simulation.objects.get(public_id=simulation["id"]).pk)


def test_it_is_begun_run_and_read(api, traffic, acme):
    waiting = begun(api)
    assert (waiting["state"], waiting["report"]) == ("waiting", None)
    run(waiting)
    done = api.get(f"simulations/{waiting['id']}").json()
    assert (done["state"], done["total"], done["done"]) == ("done", 3, 3)
    assert done["report"]["was"]["failures"] == 1
    assert [(share["target"], share["would"]) for share in done["report"]["targets"]][-1] == ("b/small", 3)
    assert api.get("simulations").json()["data"] == [done]
    assert AuditEvent.objects.of(acme).filter(action="simulation.started").exists()


def test_all_requests_of_the_organization_may_be_taken(api, traffic):
    every = begun(api, traffic="")
    run(every)
    assert api.get(f"simulations/{every['id']}").json()["report"]["requests"] == 4


def test_a_cancelled_one_stops_at_the_next_batch(api, traffic, monkeypatch, acme, as_alice):
    monkeypatch.setattr(past, "BATCH", 1)
    running = begun(api)
    row = Simulation.objects.get(public_id=running["id"])
    taken = []

    def cancelled_after_one(*arguments):
        for batch in past.batches(*arguments):
            taken.append(batch)
            cancel_simulation(row, as_alice)
            yield batch

    monkeypatch.setattr("routing.simulations.batches", cancelled_after_one)
    run(running)
    assert len(taken) == 1
    assert api.get(f"simulations/{running['id']}").json()["state"] == "cancelled"


def test_one_that_was_cancelled_before_it_ran_does_not(api, traffic):
    waiting = begun(api)
    assert api.delete(f"simulations/{waiting['id']}").status_code == 204
    run(waiting)
    assert api.get(f"simulations/{waiting['id']}").json()["state"] == "cancelled"


def test_two_run_at_once_and_one_whose_worker_is_gone_makes_room(api):
    first, _second = begun(api), begun(api)
    assert refused(api.post("routes/simulate", {"name": "fast"}), 400, "invalid_request", "name")
    Simulation.objects.filter(public_id=first["id"]).update(created_at=timezone.now() - GIVEN_UP * 2)
    begun(api)
    assert api.get(f"simulations/{first['id']}").json()["state"] == "failed"


def test_no_more_are_kept_than_somebody_reads(api, acme, as_alice):
    draft = RouteDraft.objects.of(acme).select_related("org").get()
    for _ in range(MOST_KEPT + 2):
        start_simulation(draft, as_alice, run=int)
        Simulation.objects.of(acme).update(state=Simulation.DONE)
    assert Simulation.objects.of(acme).count() == MOST_KEPT


def test_what_fails_says_so(api, monkeypatch):
    waiting = begun(api)
    monkeypatch.setattr("routing.simulations.rows_of", None)
    with pytest.raises(TypeError):
        run(waiting)
    assert api.get(f"simulations/{waiting['id']}").json()["state"] == "failed"


@pytest.mark.parametrize(("wishes", "param"), [({"hours": 25}, "hours"), ({"hours": 0}, "hours"), ({"x": 1}, "x")])
def test_a_mistake_is_refused(api, wishes, param):
    assert refused(api.post("routes/simulate", {"name": "fast"} | wishes), 400, "invalid_request", param)


def test_without_a_draft_there_is_nothing_to_simulate(api):
    assert error_of(api.post("routes/simulate", {"name": "other"}))["code"] == "not_found"


def test_a_viewer_begins_none(api, api_of, carol):
    assert api_of(carol).post("routes/simulate", {"name": "fast"}).status_code == 403
    assert not Simulation.objects.exists()


def test_a_rival_sees_none(api, rival_api):
    waiting = begun(api)
    assert rival_api.get(f"simulations/{waiting['id']}").status_code == 404
    assert rival_api.post("routes/simulate", {"name": "fast"}).status_code == 404


def test_the_page_begins_shows_and_cancels(api, traffic, client_of, alice, acme):
    browser = client_of(alice)
    assert "Simulate" in browser.get(reverse("route-tester")).content.decode()
    made = browser.post(reverse("simulations-start"), {"name": "fast", "traffic": "own"})
    assert '<progress class="progress' in browser.get(made.url).content.decode()
    row = Simulation.objects.of(acme).get()
    run_simulation(row.pk)
    page = browser.get(made.url).content.decode()
    assert "Against what was" in page
    assert "b/small" in page
    assert "<html" not in browser.get(made.url, headers={"HX-Request": "true"}).content.decode()
    other = browser.post(reverse("simulations-start"), {"name": "fast", "traffic": "every"})
    browser.post(reverse("simulations-cancel", args=[other.url.rpartition("/")[2]]))
    assert "It was cancelled." in browser.get(other.url).content.decode()
