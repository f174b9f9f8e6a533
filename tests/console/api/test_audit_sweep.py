"""Every write of the management API leaves an audit event that says what was before and after, without secrets.

A new address or method needs a case here: the test of completeness says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db.models import F
from django.utils import timezone

from accounts import audit
from accounts.models import AuditEvent, Invitation
from console import words
from console.models import SmokeRun
from routing.drafts import save_draft
from tests.console.api import standing
from tests.console.api.routes import CALLS, Address, name_of
from tests.console.api.test_rival import MARK, NEW_CONFIGURATION, NEW_KEY, NEW_PROVIDER, World, ids_in, world  # noqa: F401  a fixture

pytestmark = pytest.mark.django_db

cast, alice, acme, bob, mallory, rival = standing.FIXTURES

NEW, CHANGED, GONE, NOTED = "new", "changed", "gone", "noted"
"""What an event says: only after, both, only before, or that something was done to what stays as it is."""

SECRET = "sk-secret-of-an-upstream-0123456789"


@dataclass(frozen=True, slots=True)
class Case:
    action: str
    says: str
    body: Any = None


TARGETS = [{"target": f"{MARK}/{MARK}-model"}]
CASES: dict[str, Case] = {
    "POST keys": Case("api_key.created", NEW, NEW_KEY),
    "PATCH keys/<slug:key_id>": Case("api_key.updated", CHANGED, {"name": "Renamed"}),
    "DELETE keys/<slug:key_id>": Case("api_key.revoked", GONE),
    "POST keys/<slug:key_id>/rotate": Case("api_key.rotated", CHANGED, {"overlap_s": 60}),
    "POST providers": Case("connection.created", NEW, NEW_PROVIDER | {"api_keys": [SECRET]}),
    "PATCH providers/<slug:provider_id>": Case("connection.updated", CHANGED, {"name": "Renamed"}),
    "DELETE providers/<slug:provider_id>": Case("connection.deleted", GONE),
    "POST providers/<slug:provider_id>/keys": Case("connection.key_added", NEW, {"key": SECRET}),
    "PATCH providers/<slug:provider_id>/keys/<slug:key_id>": Case(
        "connection.key_parked", CHANGED, {"state": "parked"}
    ),
    "DELETE providers/<slug:provider_id>/keys/<slug:key_id>": Case("connection.key_removed", GONE),
    "POST nodes/tokens": Case("node_token.created", NEW, {}),
    "DELETE nodes/tokens/<slug:token_id>": Case("node_token.revoked", GONE),
    "PATCH nodes/<slug:node_id>": Case("node.updated", CHANGED, {"name": "Renamed"}),
    "DELETE nodes/<slug:node_id>": Case("node.removed", GONE),
    "POST nodes/<slug:node_id>/pause": Case("node.paused", CHANGED),
    "POST nodes/<slug:node_id>/drain": Case("node.drained", CHANGED),
    "POST nodes/<slug:node_id>/resume": Case("node.resumed", CHANGED),
    "PUT routes/<route_name:name>": Case("route.updated", CHANGED, {"targets": TARGETS, "strategy": "fastest"}),
    "DELETE routes/<route_name:name>": Case("route.deleted", GONE),
    "PUT routes/<route_name:name>/draft": Case("route.drafted", CHANGED, {"targets": TARGETS, "strategy": "fastest"}),
    "DELETE routes/<route_name:name>/draft": Case("route.draft_discarded", GONE),
    "POST routes/<route_name:name>/publish": Case("route.updated", CHANGED, {}),
    "POST routes/<route_name:name>/rollback": Case("route.updated", CHANGED, {"version": 1}),
    "POST routes/<route_name:name>/canary": Case("canary.started", NEW, {"percent": 10}),
    "PATCH routes/<route_name:name>/canary": Case("canary.changed", CHANGED, {"percent": 20}),
    "DELETE routes/<route_name:name>/canary": Case("canary.rolled_back", CHANGED),
    "POST routes/<route_name:name>/promote": Case("canary.promoted", CHANGED, {}),
    "POST routes/simulate": Case("simulation.started", NEW, {"name": f"{MARK}/route"}),
    "DELETE simulations/<slug:simulation_id>": Case("simulation.cancelled", NOTED),
    "PUT targets/<slug:target_id>/health": Case("target.held_open", CHANGED, {"state": "held_open"}),
    "POST usage/exports": Case("usage_export.created", NEW, {"from": "2026-11-01", "to": "2026-11-30"}),
    "DELETE usage/exports/<slug:export_id>": Case("usage_export.deleted", GONE),
    "POST drills": Case("drill.started", NEW, {"target": MARK, "seconds": 60}),
    "DELETE drills/<slug:drill_id>": Case("drill.ended", GONE),
    "POST smoke": Case("smoke.begun", NEW, {"checks": ["answers"]}),
    "PUT cache/policies": Case("cache_policy.created", NEW, {"scope": "organization", "ttl_s": 60}),
    "DELETE cache/policies/<slug:policy_id>": Case("cache_policy.deleted", GONE),
    "POST cache/purge": Case("cache.purged", NEW, {"name": "x"}),
    "PUT earnings/programme": Case("earnings.programme_chosen", CHANGED, {"kind": "exchange"}),
    "PUT earnings/recognition": Case("earnings.recognition_set", CHANGED, {"is_public": False}),
    "PUT earnings/cases/<slug:case_id>/answer": Case("earnings.case_answered", CHANGED, {"answer": "A mistake."}),
    "PUT limits": Case("limits.updated", CHANGED, {"rpm": 7}),
    "PUT limits/routes/<route_name:name>": Case("limits.updated", CHANGED, {"rpm": 7}),
    "PUT limits/models/<route_name:model>": Case("limits.updated", CHANGED, {"rpm": 7}),
    "PUT limits/nodes/<slug:node_id>": Case("limits.updated", CHANGED, {"rpm": 7}),
    "PUT members/<slug:member_id>/limits": Case("limits.updated", CHANGED, {"rpm": 7}),
    "DELETE contents": Case("content.purged", GONE),
    "PUT billing/details": Case("billing.details_set", CHANGED, {"name": "Acme Ltd"}),
    "PUT payouts/destination": Case(
        "payout_destination.changed", CHANGED, {"holder": "Acme", "account": "TH00 1234", "bank": "BBL BKKBTHBK"}
    ),
    "POST config": Case("configuration.imported", NEW, NEW_CONFIGURATION),
    "PATCH organization": Case("organization.updated", CHANGED, {"name": "Renamed"}),
    "PATCH members/<slug:member_id>": Case("member.role_changed", CHANGED, {"role": "viewer"}),
    "DELETE members/<slug:member_id>": Case("member.removed", GONE),
    "POST invitations": Case("invitation.sent", NEW, {"email": "new@acme.test", "role": "viewer"}),
    "DELETE invitations/<slug:invitation_id>": Case("invitation.revoked", GONE),
    "POST invitations/<slug:invitation_id>/resend": Case("invitation.sent_again", CHANGED),
}
CHANGES_NOTHING = {"POST routes/explain", "POST providers/<slug:provider_id>/test", "POST billing/portal"}
"""Questions, whose answer needs a body or a call."""

ELSEWHERE = {
    "POST billing/top-ups",
    "POST billing/card",
    "DELETE billing/card",
    "PUT billing/auto-top-up",
    "POST billing/vouchers",
    "POST payouts",
    "PATCH payouts/destination",
    "POST payouts/onboarding",
    "POST payouts/destination/check",
    "POST usage/exports/<slug:export_id>/retry",
}
"""In tests of billing and payouts, with somebody to pay at and something to be paid;
in test_usage_exports.py, with an export that has failed."""

WRITES = [call for call in CALLS if call[1] != "GET"]


def test_every_write_has_a_case():
    assert {name_of(call) for call in WRITES} == CASES.keys() | CHANGES_NOTHING | ELSEWHERE


@pytest.fixture
def prepared(world: World, acme, as_alice, api) -> World:  # noqa: F811
    """So that going back, ending and publishing change something."""
    name = world.ids["name"]
    api.put(f"routes/{name}", {"targets": TARGETS, "strategy": "cheapest"})
    save_draft(acme, as_alice, name, {"targets": TARGETS, "strategy": "weighted"})
    return world


@pytest.mark.parametrize("call", [call for call in WRITES if name_of(call) in CASES], ids=name_of)
def test_every_write_is_in_the_audit_trail(call: tuple[Address, str], prepared, acme, api):
    address, method = call
    case = CASES[name_of(call)]
    if address.pattern.endswith("resume"):
        api.post(address.path(**ids_in(address, prepared)).replace("resume", "pause"))
    if (method != "POST" and address.pattern.endswith("canary")) or address.pattern.endswith("promote"):
        assert api.post(f"routes/{prepared.ids['name']}/canary", {"percent": 10}).status_code == 201
    SmokeRun.objects.update(ended_at=timezone.now())
    Invitation.objects.update(expires_at=F("expires_at") - timedelta(hours=1))
    seen = AuditEvent.objects.of(acme).count()
    answer = api.send(method, address.path(**ids_in(address, prepared)), case.body)
    assert answer.status_code < 300, answer.content
    events = [*AuditEvent.objects.of(acme).filter(sequence__gt=seen).order_by("sequence")]
    event = next((each for each in events if each.action == case.action), None)
    assert event is not None, [each.action for each in events]
    assert said_by(event) == case.says, (event.before, event.after)
    assert (event.actor_type, event.actor_label, event.ip) == ("key", "Automation", "127.0.0.1")
    assert words.action(event.action) != event.action, "no words for it"
    assert words.object_type(event.object_type) != event.object_type, "no words for it"
    assert SECRET not in orjson.dumps([event.before, event.after]).decode()
    assert audit.verify(acme).ok


def said_by(event: AuditEvent) -> str:
    if event.before is None:
        return NOTED if event.after is None else NEW
    return GONE if event.after is None else CHANGED
