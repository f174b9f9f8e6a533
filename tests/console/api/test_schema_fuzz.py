"""The management API against its own schema: whatever is sent, no 5xx, and answers as described."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from django.core import signals
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from accounts import invitations, members
from nodes.enrolment import create_token
from providers.models import ServedModel
from routing.drills import start_drill
from tests.console.activity import export_of, statement_of
from tests.nodes.machine import Machine

SCHEMA = schemathesis.openapi.from_wsgi("/api/v1/schema", get_wsgi_application()).include(path_regex="^/api/v1/")
# What a schema can say is not all there is to say: that a URL leads somewhere, that a time zone exists.
# That nothing is answered without a key, tests/console/api/test_access.py asks once for each address.
EXCLUDED = [positive_data_acceptance, ignored_auth]


@pytest.fixture
def ids(api, acme, as_alice, bob, log) -> dict[str, str]:
    """An object for every parameter of a path, so that not all answers are 404."""
    provider = api.post(
        "providers",
        {"name": "Up", "base_url": "https://llm.example.com/v1", "api_keys": ["sk-1"], "models": [{"id": "small"}]},
    ).json()
    api.put("routes/team/fast", {"targets": [{"target": "up/small"}]})
    api.put("routes/team/fast/draft", {"targets": [{"target": "up/small"}]})
    enrolment = create_token(acme, as_alice)
    return {
        "key_id": api.post("keys", {"name": "App"}).json()["id"],
        "provider_id": provider["id"],
        "provider_key": provider["keys"][0]["id"],
        "name": "team/fast",
        "model": "small",
        "request_id": log().request_id,
        "member_id": members.members_of(acme).get(user=bob).public_id,
        "token_id": enrolment.token.public_id,
        "node_id": Machine().enrol(enrolment.plain).json()["node"],
        "target_id": ServedModel.objects.of(acme).get().public_id,
        "simulation_id": api.post("routes/simulate", {"name": "team/fast"}).json()["id"],
        "export_id": export_of(acme, as_alice).public_id,
        "statement_id": statement_of(acme).public_id,
        "drill_id": start_drill(acme, as_alice, "up/small", 60).public_id,
        "run_id": api.post("smoke", {"checks": ["answers"]}).json()["id"],
        "policy_id": api.put("cache/policies", {"scope": "organization", "ttl_s": 60}).json()["id"],
        "invitation_id": invitations.invite(acme, as_alice, email="dana@example.com", role="viewer").public_id,
    }


@pytest.fixture
def connection_kept(ids) -> Iterator[None]:
    """Requests of a real server end with their connection; the one of the test has its transaction open.

    After the objects are made: Django's own test client sets this anew with every request.
    """
    ends = (signals.request_started, signals.request_finished)
    for end in ends:
        end.disconnect(close_old_connections)
    yield
    for end in ends:
        end.connect(close_old_connections)


@SCHEMA.parametrize()
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@pytest.mark.django_db
def test_any(case, api, ids, connection_kept):
    case.path_parameters = {name: ids[name] for name in case.path_parameters or {}}
    if {"provider_id", "key_id"} <= case.path_parameters.keys():
        case.path_parameters["key_id"] = ids["provider_key"]
    # Path and credentials are right now, so a request that was meant to be wrong in those alone is no longer wrong.
    may_be_wrong = bool(case.query) or isinstance(case.body, (dict, list, str))
    excluded = EXCLUDED if may_be_wrong else [*EXCLUDED, negative_data_rejection]
    answer = case.call_and_validate(headers=api.headers, excluded_checks=excluded)
    assert answer.status_code != 401
    assert answer.status_code != 403 or answer.json()["error"]["metadata"] == {"permission": "manage_owners"}
