"""A target's health: read by everybody, set by who may, told in its history and in the audit trail."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import roles
from accounts.models import AuditEvent
from nodes.enrolment import create_token
from nodes.findings import store_models
from nodes.models import NodeModel
from nodes.reports import parse
from providers.breakers import release_over
from providers.models import BreakerState, Connection, Pulse, ServedModel
from routing.health_news import Told
from routing.health_rows import write_breakers
from tests.console.api.conftest import add_provider, error_of, refused
from tests.nodes.machine import Machine

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(api, acme) -> ServedModel:
    add_provider(api, "Up", "small")
    return ServedModel.objects.of(acme).get()


def health(api, model) -> dict:
    answer = api.get(f"targets/{model.public_id}/health")
    assert answer.status_code == 200, answer.content
    return answer.json()


def put(api, model, **wishes):
    return api.put(f"targets/{model.public_id}/health", wishes)


def breaker_told(model, seconds: float | None = 60, reason: str = "server_error") -> None:
    """As a process of the data plane tells what its breaker did."""
    until = None if seconds is None else timezone.now().timestamp() + seconds
    write_breakers([Told(model.pk, 0, until, reason)])


def dropped(api) -> dict[str, str]:
    return {one["target"]: one["reason"] for one in api.post("routes/explain", {"model": "small"}).json()["dropped"]}


def test_a_target_that_nothing_is_known_of_is_in_use(api, model):
    told = health(api, model)
    assert (told["target"], told["state"], told["history"], told["provider"]) == ("up/small", "closed", [], None)


def test_an_open_breaker_is_shown_with_its_reason_until_it_closes(api, model):
    breaker_told(model)
    told = health(api, model)
    assert (told["state"], told["reason"]) == ("open", "server_error")
    breaker_told(model, seconds=None)
    told = health(api, model)
    assert told["state"] == "closed"
    assert [(one["before"], one["after"]) for one in told["history"]] == [("open", "closed"), ("closed", "open")]


def test_the_same_outage_met_by_several_processes_is_one_row(api, model):
    breaker_told(model)
    breaker_told(model, seconds=90)
    told = health(api, model)
    assert len(told["history"]) == 1
    assert timezone.datetime.fromisoformat(told["until"]) > timezone.now() + timedelta(seconds=80)


def test_an_open_breaker_whose_time_is_over_lets_one_through(api, model):
    breaker_told(model, seconds=-1)
    assert health(api, model)["state"] == "half_open"


def test_held_open_is_out_of_every_plan_even_as_the_last_one_until_it_is_reset(api, acme, model):
    answer = put(api, model, state="held_open", note="Maintenance")
    assert (answer.status_code, answer.json()["state"], answer.json()["until"]) == (200, "held_open", None)
    assert dropped(api) == {"up/small": "held_open"}
    breaker_told(model, seconds=None)
    assert health(api, model)["state"] == "held_open", "evidence does not close what a person opened"
    assert put(api, model, state="closed").json()["state"] == "closed"
    assert dropped(api) == {}
    events = AuditEvent.objects.of(acme).filter(object_type="target").order_by("sequence")
    assert [*events.values_list("action", "object_label")] == [
        ("target.held_open", "up/small"),
        ("target.reset", "up/small"),
    ]
    newest = health(api, model)["history"][1]
    assert (newest["after"], newest["reason"], newest["detail"]) == ("held_open", "person", "Maintenance")
    assert "Automation" in newest["actor"]


def test_a_hold_for_a_time_ends_by_itself(api, model):
    put(api, model, state="held_open", seconds=60)
    assert health(api, model)["until"]
    BreakerState.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert health(api, model)["state"] == "closed"
    assert release_over() == 1
    assert health(api, model)["history"][0]["reason"] == "time_is_up"


def test_a_provider_that_is_down_holds_its_targets_out_but_not_the_last_one(api, acme, model):
    now = timezone.now()
    Pulse.objects.create(
        org=acme, connection=model.connection, state="down", reason="refused", next_at=now,
        down_until=now + timedelta(minutes=1),
    )  # fmt: skip
    told = health(api, model)
    assert (told["state"], told["provider"]["state"], told["reason"]) == ("probe_failed", "down", "refused")
    listed = api.get("targets").json()["data"]
    assert [one["state"] for one in listed] == ["probe_failed"]
    assert dropped(api) == {}, "the last target is tried in spite of what probes say"
    add_provider(api, "Other", "small")
    assert dropped(api) == {"up/small": "probe_failed"}
    put(api, model, state="closed")
    told = health(api, model)
    assert (told["state"], told["provider"]["state"]) == ("closed", "unknown")
    assert dropped(api) == {}


def test_a_machines_model_is_held_open_and_reset_too(api, acme, as_alice):
    node = Machine().enrol(create_token(acme, as_alice).plain, name="Lab").json()["node"]
    store_models(node, parse({"models": [{"id": "llama", "runtime": "ollama"}]}).models)
    row = NodeModel.objects.of(acme).get()
    assert put(api, row, state="held_open").json()["state"] == "held_open"
    assert put(api, row, state="closed").json()["state"] == "closed"


@pytest.mark.parametrize(
    ("wishes", "param"),
    [({}, "state"), ({"state": "open"}, "state"), ({"state": "held_open", "seconds": 0}, "seconds")],
)
def test_what_cannot_be_wished(api, model, wishes, param):
    assert refused(put(api, model, **wishes), 400, "invalid_request", param)


def test_who_may_only_look_changes_nothing(api_of, carol, model, make_user, join, acme):
    assert health(api_of(carol), model)["state"] == "closed"
    assert put(api_of(carol), model, state="held_open").status_code == 403
    keeper = make_user("erin@acme.test")
    join(acme, keeper, roles.PROVIDER)
    assert put(api_of(keeper), model, state="held_open").status_code == 403, "machines are theirs, providers are not"


def test_a_target_of_the_platform_is_seen_but_not_set(api, as_alice):
    platform = Connection.objects.create(
        org=None, public_id="conn_p", slug="p", name="P", base_url="https://p.example"
    )
    model = ServedModel.objects.create(
        org=None, public_id="model_p", connection=platform, model_id="m", upstream_id="m"
    )
    assert health(api, model)["state"] == "closed"
    refusal = put(api, model, state="held_open")
    assert refused(refusal, 404, "not_found")
    assert "the operator's to set" in error_of(refusal)["message"]
    assert error_of(put(api, model, state="off"))["message"] == "“off” is none of: held_open, closed"
