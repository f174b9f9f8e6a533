"""The management API against its own schema: whatever is sent, no 5xx, and answers as described."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import schemathesis
from django.core import signals
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from accounts import invitations, members
from billing.earnings import causes
from nodes.enrolment import create_token
from nodes.findings import store_models
from nodes.models import Node
from nodes.reports import parse
from providers.models import ServedModel
from routing.drills import start_drill
from tests.console.activity import export_of, statement_of
from tests.console.api import standing
from tests.console.api.conftest import logged, manager_of
from tests.console.earning_rows import doubted_lot
from tests.console.money import paid_out, paid_top_up
from tests.nodes.machine import Machine
from tests.standing import Cast

SCHEMA = schemathesis.openapi.from_wsgi("/api/v1/schema", get_wsgi_application()).include(path_regex="^/api/v1/")
# What a schema can say is not all there is to say: that a URL leads somewhere, that a time zone exists.
# That nothing is answered without a key, tests/console/api/test_access.py asks once for each address.
EXCLUDED = [positive_data_acceptance, ignored_auth]
cast, alice, acme, bob, mallory, rival = standing.FIXTURES
ENDS = (signals.request_started, signals.request_finished)


@pytest.fixture(scope="module")
def ids(cast: Cast) -> dict[str, str]:
    """An object for every parameter of a path, so that not all answers are 404."""
    acme, as_alice, bob, api = cast.acme, cast.as_alice, cast.bob, manager_of(cast.acme, cast.alice)
    provider = api.post(
        "providers",
        {"name": "Up", "base_url": "https://llm.example.com/v1", "api_keys": ["sk-1"], "models": [{"id": "small"}]},
    ).json()
    api.put("routes/team/fast", {"targets": [{"target": "up/small"}]})
    api.put("routes/team/fast/draft", {"targets": [{"target": "up/small"}]})

    @cache
    def node() -> Node:
        node = Node.objects.get(public_id=Machine().enrol(create_token(acme, as_alice).plain).json()["node"])
        store_models(node.public_id, parse({"models": [{"id": "small", "runtime": "ollama"}]}).models)
        return node

    makers: dict[str, Callable[[], str]] = {
        "top_up_id": lambda: paid_top_up(acme).public_id,
        "payout_id": lambda: paid_out(acme).public_id,
        "key_id": lambda: api.post("keys", {"name": "App"}).json()["id"],
        "provider_id": lambda: provider["id"],
        "provider_key": lambda: provider["keys"][0]["id"],
        "name": lambda: "team/fast",
        "model": lambda: "small",
        "request_id": lambda: logged(acme).request_id,
        "member_id": lambda: members.members_of(acme).get(user=bob).public_id,
        "token_id": lambda: create_token(acme, as_alice).token.public_id,
        "node_id": lambda: node().public_id,
        "case_id": lambda: doubted_lot(node().served_models.get()).public_id,
        "cause_id": lambda: causes.add({"name": "Trees for All", "summary": "Plants trees."}).slug,
        "target_id": lambda: ServedModel.objects.of(acme).get().public_id,
        "simulation_id": lambda: api.post("routes/simulate", {"name": "team/fast"}).json()["id"],
        "export_id": lambda: export_of(acme, as_alice).public_id,
        "statement_id": lambda: statement_of(acme).public_id,
        "drill_id": lambda: start_drill(acme, as_alice, "up/small", 60).public_id,
        "run_id": lambda: api.post("smoke", {"checks": ["answers"]}).json()["id"],
        "policy_id": lambda: api.put("cache/policies", {"scope": "organization", "ttl_s": 60}).json()["id"],
        "invitation_id": lambda: invitations.invite(acme, as_alice, email="d@example.com", role="viewer").public_id,
    }
    return {name: make() for name, make in makers.items()}


@pytest.fixture
def connection_kept(api) -> Iterator[None]:
    """Requests of a real server end with their connection; the one of the test has its transaction open."""
    for end in ENDS:
        end.disconnect(close_old_connections)
    yield
    for end in ENDS:
        end.connect(close_old_connections)


@SCHEMA.parametrize()
@settings(max_examples=8, derandomize=True, suppress_health_check=list(HealthCheck))
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
