"""What the rival sees and reaches: nothing of acme. For every address of the URLconf; a new one needs a case here."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection as database
from django.http import HttpResponse

from accounts import invitations, members
from accounts.audit import Actor
from accounts.keys import create_key
from accounts.limits import set_limits
from accounts.models import ApiKey, AuditEvent, Invitation, Limit, Membership, Organization
from accounts.organizations import update_organization
from billing import vouchers
from billing.earnings import causes, programmes
from billing.earnings.models import Case as EarningsCase
from billing.earnings.models import Lot, Programme
from billing.models import AutoTopUp, BillingDetails, Payee, Payout, SavedCard, TopUp, VoucherUse
from console.models import SmokeRun
from console.smoke import runs
from metering.models import Usage
from nodes.enrolment import create_token
from nodes.findings import store_models
from nodes.models import EnrolmentToken, Node, NodeModel, NodeShare
from nodes.reports import parse
from providers.alerts import raise_alert
from providers.models import Alert, BreakerState, Connection, ConnectionKey, HealthChange, ServedModel
from providers.services import create_connection
from routing import canaries
from routing.cache_services import put_policy
from routing.drafts import save_draft
from routing.drills import start_drill
from routing.models import CachePolicy, CachePurge, Drill, Route, RouteDraft, RouteVersion, Simulation
from routing.services import put_route
from routing.simulations import start_simulation
from tests.billing.payees import DOLLAR, account_at, earn
from tests.console.activity import export_of, statement_of
from tests.console.api import standing
from tests.console.api.conftest import Api, add_provider, logged, manager_of
from tests.console.api.routes import ADDRESSES, CALLS, Address, name_of
from tests.console.earning_rows import doubted_lot
from tests.console.money import paid_out, paid_top_up, ways_to_pay
from tests.console.pages.kept import keep
from tests.fakes.payments import KEY, SECRET, PaymentDouble
from tests.nodes.machine import Machine
from tests.standing import Cast

pytestmark = pytest.mark.django_db

cast, alice, acme, bob, mallory, rival = standing.FIXTURES

MARK = "zanzibar"
"""In every name of acme's, so that any leak shows."""

NEW_KEY = {"name": "New"}
NEW_CONFIGURATION = {
    "configuration": {
        "format": "shareai-configuration",
        "version": 1,
        "limits": [{"scope": "organisation", "subject": "", "rpm": 8}],
    }
}
NEW_PROVIDER = {"name": "New", "base_url": "https://llm.example.com/v1"}

READ_ONLY = (
        "earnings", "earnings/lots", "earnings/preview", "earnings/prices", "earnings/cases", "billing/balance",
        "billing/entries", "causes", "billing/statements", "nodes", "models", "alerts", "targets", "routes",
        "simulations", "cache/savings", "limits/budgets", "limits/rates", "usage", "usage/same-traffic",
        "insight/prompts",
        "insight/targets", "requests", "audit-events", "audit-events/verify", "members",
)  # fmt: skip
"""Lists and figures without ids: the rival sees its own."""

# Of each address: the ids in it that are acme's, ids in it that never were, and the body of each write.
CASES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    **dict.fromkeys(READ_ONLY, ({}, {})),
    "keys": ({}, {"POST": NEW_KEY}),
    "keys/<slug:key_id>": ({"key_id": "nosuchkey000"}, {"PATCH": {"name": "Taken"}}),
    "keys/<slug:key_id>/rotate": ({"key_id": "nosuchkey000"}, {"POST": {"overlap_s": 60}}),
    "providers": ({}, {"POST": NEW_PROVIDER}),
    "providers/<slug:provider_id>": ({"provider_id": "conn_0"}, {"PATCH": {"name": "Taken"}}),
    "providers/<slug:provider_id>/test": ({"provider_id": "conn_0"}, {}),
    "providers/<slug:provider_id>/availability": ({"provider_id": "conn_0"}, {}),
    "providers/<slug:provider_id>/keys": ({"provider_id": "conn_0"}, {"POST": {"key": "taken"}}),
    "providers/<slug:provider_id>/keys/<slug:key_id>": (
        {"provider_id": "conn_0", "key_id": "ckey_0"},
        {"PATCH": {"state": "parked"}},
    ),
    "billing/top-ups": ({}, {"POST": {"amount_usd": "25"}}),
    "earnings/programme": ({}, {"PUT": {"kind": "exchange"}}),
    "earnings/recognition": ({}, {"PUT": {"is_public": True, "public_name": "Rival"}}),
    "earnings/cases/<slug:case_id>": ({"case_id": "case_0"}, {}),
    "earnings/cases/<slug:case_id>/answer": ({"case_id": "case_0"}, {"PUT": {"answer": "Taken"}}),
    "causes/<slug:cause_id>": ({"cause_id": "no-such"}, {}),
    "billing/top-ups/<slug:top_up_id>/invoice": ({"top_up_id": "top_0"}, {}),
    "billing/auto-top-up": (
        {},
        {"PUT": {"enabled": False, "threshold_usd": "10", "amount_usd": "25", "monthly_cap_usd": "100"}},
    ),
    "billing/portal": ({}, {"POST": {}}),
    "billing/card": ({}, {"POST": {}, "DELETE": {}}),
    "billing/details": ({}, {"PUT": {"name": "Rival Ltd"}}),
    "billing/vouchers": ({}, {"POST": {"code": "RIVALSOWN"}}),
    "payouts": ({}, {"POST": {}}),
    "payouts/destination": (
        {},
        {"PUT": {"holder": "Rival", "account": "DE00 1234", "bank": "A Bank"}, "PATCH": {"monthly": False}},
    ),
    "payouts/destination/check": ({}, {"POST": {}}),
    "payouts/onboarding": ({}, {"POST": {"country": "TH"}}),
    "payouts/<slug:payout_id>": ({"payout_id": "po_0"}, {}),
    "billing/statements/<slug:statement_id>": ({"statement_id": "stmt_0"}, {}),
    "usage/exports": ({}, {"POST": {}}),
    "usage/exports/<slug:export_id>": ({"export_id": "exp_0"}, {}),
    "usage/exports/<slug:export_id>/retry": ({"export_id": "exp_0"}, {}),
    "usage/exports/<slug:export_id>/file": ({"export_id": "exp_0"}, {}),
    "nodes/tokens": ({}, {"POST": {}}),
    "nodes/tokens/<slug:token_id>": ({"token_id": "ntok_0"}, {}),
    "nodes/<slug:node_id>": ({"node_id": "node_0"}, {"PATCH": {"name": "Taken"}}),
    "nodes/<slug:node_id>/availability": ({"node_id": "node_0"}, {}),
    "nodes/<slug:node_id>/pause": ({"node_id": "node_0"}, {}),
    "nodes/<slug:node_id>/drain": ({"node_id": "node_0"}, {}),
    "nodes/<slug:node_id>/resume": ({"node_id": "node_0"}, {}),
    "targets/<slug:target_id>/health": ({"target_id": "model_0"}, {"PUT": {"state": "held_open"}}),
    "routes/explain": ({}, {"POST": {"model": f"{MARK}/route"}}),
    "routes/<route_name:name>/versions": ({"name": "no/such"}, {}),
    "routes/<route_name:name>/rollback": ({"name": "no/such"}, {"POST": {"version": 1}}),
    "routes/<route_name:name>/draft": ({"name": "no/such"}, {"PUT": {"targets": [{"target": "mine/model"}]}}),
    "routes/<route_name:name>/canary": (
        {"name": "no/such"},
        {"POST": {"percent": 10}, "PATCH": {"percent": 20}},
    ),
    "routes/<route_name:name>/promote": ({"name": "no/such"}, {"POST": {}}),
    "routes/<route_name:name>/publish": ({"name": "no/such"}, {"POST": {}}),
    "routes/<route_name:name>": ({"name": "no/such"}, {"PUT": {"targets": [{"target": "mine/model"}]}}),
    "routes/simulate": ({}, {"POST": {"name": "mine/route"}}),
    "simulations/<slug:simulation_id>": ({"simulation_id": "sim_0"}, {}),
    "drills": ({}, {"POST": {"target": "mine", "seconds": 5}}),
    "drills/<slug:drill_id>": ({"drill_id": "drill_0"}, {}),
    "smoke": ({}, {"POST": {"checks": ["answers"]}}),
    "smoke/<slug:run_id>": ({"run_id": "smoke_0"}, {}),
    "cache/policies": ({}, {"PUT": {"scope": "organization", "ttl_s": 60}}),
    "cache/policies/<slug:policy_id>": ({"policy_id": "cpol_0"}, {}),
    "cache/purge": ({}, {"POST": {}}),
    "members/<slug:member_id>/limits": ({"member_id": "mem_0"}, {"PUT": {"rpm": 1}}),
    "limits": ({}, {"PUT": {"rpm": 1}}),
    "limits/routes/<route_name:name>": ({"name": "no/such"}, {"PUT": {"rpm": 1}}),
    "limits/models/<route_name:model>": ({"model": "no/such"}, {"PUT": {"rpm": 1}}),
    "limits/nodes/<slug:node_id>": ({"node_id": "node_0"}, {"PUT": {"rpm": 1}}),
    "requests/<slug:request_id>": ({"request_id": "req_01a2039fea8977f38e2af0fede7a52bd"}, {}),
    "requests/<slug:request_id>/content": ({"request_id": "req_01a2039fea8977f38e2af0fede7a52bd"}, {}),
    "contents": ({}, {"DELETE": None}),
    "config": ({}, {"POST": NEW_CONFIGURATION}),
    "organization": ({}, {"PATCH": {"name": "Rival 2"}}),
    "members/<slug:member_id>": ({"member_id": "mem_0"}, {"PATCH": {"role": "viewer"}}),
    "invitations": ({}, {"POST": {"email": "new@rival.test", "role": "viewer"}}),
    "invitations/<slug:invitation_id>": ({"invitation_id": "inv_0"}, {}),
    "invitations/<slug:invitation_id>/resend": ({"invitation_id": "inv_0"}, {}),
}
CREATES_ITS_OWN = {"PUT routes/<route_name:name>", "PUT routes/<route_name:name>/draft"}
OF_EVERYBODY = {"GET causes/<slug:cause_id>"}
TELLS_NO_NAMES = {
    "causes",
    "earnings",
    "earnings/preview",
    "billing/balance",
    "billing/entries",
    "cache/savings",
    "limits",
    "usage",
    "usage/exports",
    "audit-events/verify",
    "nodes/tokens",
}


@dataclass(frozen=True, slots=True)
class World:
    """One of everything that acme has."""

    organization: Organization
    ids: dict[str, str]

    def contents(self) -> list[tuple[str, str]]:
        """All rows of acme, by one question. What the rival does must not change any."""
        tenants = (
            *(
                ApiKey,
                AuditEvent,
                Connection,
                ConnectionKey,
                Invitation,
                Membership,
                Route,
                RouteDraft,
                RouteVersion,
                Drill,
                Simulation,
            ),
            *(Limit, ServedModel),
            *(CachePolicy, CachePurge, SmokeRun),
            *(Alert, BreakerState, HealthChange),
            *(EnrolmentToken, Node, NodeModel, NodeShare),
            *(Lot, EarningsCase, Programme),
            *(AutoTopUp, BillingDetails, Payee, Payout, SavedCard, TopUp, VoucherUse),
        )
        rows = {model.__name__: model.objects.of(self.organization) for model in (*tenants, Usage)}
        rows["Organization"] = Organization.objects.filter(pk=self.organization.pk)
        asked = {name: queryset.values().query.sql_with_params() for name, queryset in rows.items()}
        parts = [f"SELECT '{name}', to_jsonb(t)::text FROM ({sql}) t" for name, (sql, _) in asked.items()]
        with database.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(parts), [value for _, values in asked.values() for value in values])
            return sorted(cursor.fetchall())


@pytest.fixture(scope="module")
def payments() -> Iterator[PaymentDouble]:
    with PaymentDouble() as double:
        yield double


@pytest.fixture(autouse=True)
def _credits_can_be_bought(payments, settings) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
    settings.STRIPE_BASE_URL = payments.url


@pytest.fixture(scope="module")
def world(cast: Cast) -> World:
    acme, as_alice, bob = deepcopy(cast.acme), cast.as_alice, cast.bob
    update_organization(acme, as_alice, name=f"Acme {MARK}")
    key = create_key(acme, as_alice, name=MARK, scopes=["inference"], created_by=None).key
    connection = create_connection(
        acme,
        as_alice,
        preset="custom",
        name=MARK,
        base_url="https://llm.example.com/v1",
        api_keys=[f"sk-{MARK}-0123456789abcdef"],
        models=[{"id": f"{MARK}-model", "input_price": "1", "output_price": "2"}],
    )
    route = put_route(acme, as_alice, f"{MARK}/route", {"targets": [{"target": f"{MARK}/{MARK}-model"}]})
    draft = save_draft(
        acme, as_alice, route.name, {"targets": [{"target": f"{MARK}/{MARK}-model"}], "strategy": "cheapest"}
    )
    canaries.start(draft, as_alice, 10)
    raise_alert(connection, Alert.DOWN, reason="refused")
    wishes = {"budgets": [{"amount_usd": "5", "window": "monthly"}], "rpm": 60}
    set_limits(acme, as_alice, "model", f"{MARK}-model", wishes=wishes)
    policy = put_policy(acme, as_alice, scope="model", subject=f"{MARK}-model", ttl_s=60)
    enrolment = create_token(acme, as_alice)
    node = Node.objects.get(public_id=Machine().enrol(enrolment.plain, name=MARK).json()["node"])
    store_models(node.public_id, parse({"models": [{"id": f"{MARK}-node", "runtime": "ollama"}]}).models)
    programmes.recognise(acme, as_alice, is_public=True, public_name=MARK)
    invitation = invitations.invite(acme, as_alice, email=f"{MARK}@example.com", role="viewer")
    member = members.members_of(acme).get(user=bob)
    type(bob).objects.filter(pk=bob.pk).update(name=MARK)
    request = logged(acme, key, model=f"{MARK}-model", target=f"{MARK}/{MARK}-model", prompt_hash=7)
    keep(acme, request.request_id, body={"model": MARK, "messages": [{"role": "user", "content": MARK}]})
    ways_to_pay(acme, MARK)
    ids = {
        "top_up_id": paid_top_up(acme, MARK).public_id,
        "payout_id": paid_out(acme, MARK).public_id,
        "key_id": key.public_id,
        "provider_id": connection.public_id,
        "name": route.name,
        "request_id": request.request_id,
        "member_id": member.public_id,
        "invitation_id": invitation.public_id,
        "node_id": node.public_id,
        "case_id": doubted_lot(node.served_models.get()).public_id,
        "cause_id": causes.add({"name": "Trees for All", "summary": "Plants trees."}).slug,
        "policy_id": policy.public_id,
        "token_id": enrolment.token.public_id,
        "target_id": connection.served_models.get().public_id,
        "run_id": runs.begin(acme, as_alice, ["answers"], prompt=MARK).public_id,
        "simulation_id": start_simulation(draft, as_alice, run=int).public_id,
        "drill_id": start_drill(acme, as_alice, f"{MARK}/{MARK}-model", 3600).public_id,
        "export_id": export_of(acme, as_alice, model=f"{MARK}-model").public_id,
        "statement_id": statement_of(acme, f"{MARK}/model").public_id,
        "model": f"{MARK}-model",
        "provider_key": connection.keys.get().public_id,
    }
    return World(acme, ids)


@pytest.fixture(scope="module")
def rivals_own(cast: Cast, payments) -> None:
    earn(cast.rival, 30 * DOLLAR)
    account_at(payments, cast.rival)
    vouchers.make(DOLLAR, uses=1, reason="For the rival", actor=Actor.system("staff"), code="RIVALSOWN")
    api = manager_of(cast.rival, cast.mallory)
    add_provider(api, "Mine", "model")
    api.put("routes/mine/route/draft", {"targets": [{"target": "mine/model"}]})


@pytest.fixture(params=["session", "key"])
def intruder(request, rival_api, api_of, mallory, rivals_own) -> Api:
    return rival_api if request.param == "key" else api_of(mallory)


def ids_in(address: Address, world: World) -> dict[str, str]:
    ids = {name: world.ids[name] for name in address.parameters}
    return ids | {"key_id": world.ids["provider_key"]} if {"provider_id", "key_id"} <= ids.keys() else ids


def told(response: HttpResponse) -> tuple[int, bytes]:
    return response.status_code, response.getvalue()


def test_every_address_has_a_case():
    assert {str(address) for address in ADDRESSES} == CASES.keys()


OF_OBJECTS = [call for call in CALLS if call[0].parameters and name_of(call) not in CREATES_ITS_OWN | OF_EVERYBODY]


@pytest.mark.parametrize("call", OF_OBJECTS, ids=name_of)
def test_an_object_of_acme_is_the_same_404_as_none_at_all(call, world, intruder):
    address, method = call
    missing, bodies = CASES[str(address)]
    before = world.contents()
    reached = intruder.send(method, address.path(**ids_in(address, world)), bodies.get(method))
    nothing = intruder.send(method, address.path(**missing), bodies.get(method))
    assert told(reached) == told(nothing)
    assert reached.status_code == 404
    assert world.contents() == before


@pytest.mark.parametrize("call", [call for call in OF_OBJECTS if call[1] == "GET"], ids=name_of)
def test_acme_itself_finds_that_object(call, world, api):
    """Without this the test above would pass with any wrong id."""
    address, _method = call
    assert api.get(address.path(**ids_in(address, world))).status_code == 200


COLLECTIONS = [address for address in ADDRESSES if not address.parameters and "GET" in address.needs]


@pytest.mark.parametrize("address", COLLECTIONS, ids=str)
def test_no_list_of_the_rival_tells_of_acme(address, world, intruder, api):
    answer = intruder.get(str(address))
    assert answer.status_code == 200
    assert MARK not in answer.getvalue().decode()
    if str(address) not in TELLS_NO_NAMES:
        assert MARK in api.get(str(address)).getvalue().decode(), "acme's own answer should, or this proves nothing"


OF_COLLECTIONS = [call for call in CALLS if not call[0].parameters and call[1] != "GET"]


@pytest.mark.parametrize("call", OF_COLLECTIONS, ids=name_of)
def test_what_the_rival_writes_is_the_rivals(call, world, intruder):
    address, method = call
    before = world.contents()
    answer = intruder.send(method, str(address), CASES[str(address)][1][method])
    assert answer.status_code in (200, 201, 202, 204), answer.content
    assert world.contents() == before


def test_the_rivals_route_of_the_same_name_is_another(world, intruder):
    before = world.contents()
    name = world.ids["name"]
    assert intruder.put(f"routes/{name}", {"targets": [{"target": "mine/model"}]}).status_code == 200
    assert intruder.get(f"routes/{name}").json()["targets"][0]["target"] == "mine/model"
    assert world.contents() == before


def test_usage_of_acme_is_not_in_the_rivals_sums(world, intruder, api):
    assert intruder.get("usage").json()["total"]["requests"] == 0
    assert api.get("usage").json()["total"]["requests"] == 1


def test_filters_reach_nothing_of_acme(world, intruder, api):
    assert intruder.get("requests", key=world.ids["key_id"]).json()["data"] == []
    assert len(api.get("requests", key=world.ids["key_id"]).json()["data"]) == 1
    member = world.ids["member_id"]
    assert intruder.get("audit-events", object_id=member).json()["data"] == []


def test_a_key_of_a_provider_is_reached_only_through_its_own_provider(world, api, rival_api):
    other = api.post("providers", NEW_PROVIDER).json()["id"]
    assert api.get(f"providers/{other}/keys/{world.ids['provider_key']}").status_code == 404
    own = rival_api.post("providers", NEW_PROVIDER).json()["id"]
    assert rival_api.get(f"providers/{own}/keys/{world.ids['provider_key']}").status_code == 404


def test_a_cursor_of_acme_is_no_cursor_of_the_rival(world, api, intruder):
    api.post("keys", NEW_KEY)
    cursor = api.get("keys", limit=1).json()["next_cursor"]
    assert cursor
    assert intruder.get("keys", cursor=cursor).status_code == 400
