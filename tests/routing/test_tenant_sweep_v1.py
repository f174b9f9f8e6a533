"""Every URL of the data plane, called with a rival's key: it sees its own, and not even that another's exists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from nodes.enrolment import create_token
from nodes.findings import store_models
from nodes.reports import parse
from routing import urls
from routing.services import put_route
from tests.nodes.machine import Machine
from tests.stack import Tenant, make_tenant

OWN = "rivals-model"
SECRET = "sesame-model"
MARKS = ("sesame", "Sesame")
"""In every name that acme gave to anything; none of them may come back to the rival."""

CHAT = {"messages": [{"role": "user", "content": "Hello"}]}


@dataclass(frozen=True)
class Ask:
    """One request, for a model or a route that is yet to be named."""

    method: str
    path: str
    body: dict[str, Any] | None = None

    def named(self, name: str) -> Ask:
        body = None if self.body is None else {**self.body, "model": name}
        return Ask(self.method, self.path.replace("<model>", name), body)


CASES: dict[str, Ask] = {
    "v1/chat/completions": Ask("POST", "/v1/chat/completions", CHAT),
    "v1/completions": Ask("POST", "/v1/completions", {"prompt": "Hello"}),
    "v1/embeddings": Ask("POST", "/v1/embeddings", {"input": "Hello"}),
    "v1/moderations": Ask("POST", "/v1/moderations", {"input": "Hello"}),
    "v1/rerank": Ask("POST", "/v1/rerank", {"query": "Hello", "documents": ["Hello"]}),
    "v1/images/generations": Ask("POST", "/v1/images/generations", {"prompt": "Hello"}),
    "v1/responses": Ask("POST", "/v1/responses", {"input": "Hello"}),
    "v1/messages": Ask("POST", "/v1/messages", CHAT | {"max_tokens": 9}),
    "v1/messages/count_tokens": Ask("POST", "/v1/messages/count_tokens", CHAT),
    "v1/route/explain": Ask("POST", "/v1/route/explain", CHAT),
    "v1/models/<path:model>": Ask("GET", "/v1/models/<model>"),
}
"""Those that name an object."""

KIND_MARKS = {"/v1/embeddings": "-e", "/v1/moderations": "-m", "/v1/rerank": "-r", "/v1/images/generations": "-i"}
"""How the rival's model for an address is called, beside what chats."""

SEVERAL = "v1/compare"
"""Names several objects, and tells of each."""

KEPT_BY_NOBODY = "v1/responses/<path:response>"
"""Whatever is asked for is not there, whose ever it was."""

LISTS = {"v1/models": "/v1/models", "v1/key": "/v1/key"}
OPEN = {"health/live": "/health/live", "health/ready": "/health/ready"}
OPERATORS = {"metrics": "/metrics"}

ON_NODE = "sesame-node-model"
FOREIGN = [
    *(SECRET, "sesame-connection/" + SECRET, "sesame-route", SECRET + ":floor"),
    *(ON_NODE, ON_NODE + ":local", "node/sesame-box/" + ON_NODE, "node/acme.sesame-box/" + ON_NODE),
]


@pytest.fixture
def acme(tenant: Tenant, upstreams) -> Tenant:
    kinds = [{"id": SECRET, "upstream_id": "sim-chat"}, {"id": SECRET + "-e", "kind": "embedding"}]
    tenant.connect(upstreams.a.base_url, kinds, name="Sesame connection")
    put_route(tenant.org, tenant.actor, "sesame-route", {"targets": [{"target": SECRET}]})
    answer = Machine().enrol(create_token(tenant.org, tenant.actor).plain, name="Sesame box")
    store_models(answer.json()["node"], parse({"models": [{"id": ON_NODE, "runtime": "ollama"}]}).models)
    return tenant


@pytest.fixture
def rival(acme, upstreams) -> Tenant:
    rival = make_tenant("Rival")
    kinds = [
        {"id": OWN, "upstream_id": "sim-chat"},
        {"id": OWN + "-e", "kind": "embedding", "upstream_id": "sim-embed"},
        {"id": OWN + "-m", "kind": "moderation", "upstream_id": "sim-chat"},
        {"id": OWN + "-r", "kind": "rerank", "upstream_id": "sim-chat"},
        {"id": OWN + "-i", "kind": "image", "upstream_id": "sim-chat"},
    ]
    rival.connect(upstreams.b.base_url, kinds)
    return rival


@pytest.fixture
def as_rival(gateway, rival):
    headers = {"Authorization": f"Bearer {rival.api_key}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as client:
        yield client


def send(client: httpx.Client, ask: Ask) -> httpx.Response:
    return client.request(ask.method, ask.path, json=ask.body)


def test_every_url_has_a_case():
    routes = {str(pattern.pattern) for pattern in urls.urlpatterns}
    assert routes == CASES.keys() | {SEVERAL, KEPT_BY_NOBODY} | LISTS.keys() | OPEN.keys() | OPERATORS.keys()


@pytest.mark.parametrize("ask", CASES.values(), ids=CASES)
def test_its_own_is_served(as_rival, ask):
    own = OWN + KIND_MARKS.get(ask.path, "")
    assert send(as_rival, ask.named(own)).status_code == 200


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("ask", CASES.values(), ids=CASES)
def test_another_s_is_not_there(as_rival, upstreams, ask, name):
    missing_name = name.replace("sesame", "simsim")
    foreign, missing = send(as_rival, ask.named(name)), send(as_rival, ask.named(missing_name))
    assert foreign.status_code == missing.status_code == 404
    assert _without(foreign, name) == _without(missing, missing_name)
    assert all("rival" in near for near in foreign.json()["error"].get("metadata", {}).get("near", []))
    assert not upstreams.a.log.posts


@pytest.mark.parametrize("name", FOREIGN)
def test_another_s_cannot_be_compared(as_rival, upstreams, name):
    missing_name = name.replace("sesame", "simsim")
    told = as_rival.post("/v1/compare", json=CHAT | {"models": [OWN, name, missing_name]}).json()
    own, foreign, missing = told["data"]
    assert (own["status"], foreign["status"], missing["status"]) == (200, 404, 404)
    assert _told(foreign["error"], name) == _told(missing["error"], missing_name)
    assert not upstreams.a.log.posts


def _without(response: httpx.Response, name: str) -> dict[str, str]:
    return _told(response.json()["error"], name)


def _told(error: dict[str, Any], name: str) -> dict[str, str]:
    """A refusal without the name that was asked for, and without names of one's own that look like it."""
    message = error["message"].partition(" Did you mean")[0].replace(name, "<name>")
    return {"code": error["code"], "type": error["type"], "param": error["param"], "message": message}


def test_acme_itself_sees_its_machine_which_is_away(gateway, acme):
    headers = {"Authorization": f"Bearer {acme.api_key}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as client:
        assert ON_NODE in client.get("/v1/models").text
        for name in (ON_NODE, "node/sesame-box/" + ON_NODE, ON_NODE + ":private"):
            refused = send(client, CASES["v1/chat/completions"].named(name))
            [reason] = refused.json()["error"]["metadata"]["rejected"]
            assert (refused.status_code, reason["reason"]) == (503, "node_offline")


@pytest.mark.parametrize("path", LISTS.values(), ids=LISTS)
def test_lists_hold_its_own_only(as_rival, path):
    response = as_rival.get(path)
    assert response.status_code == 200
    assert not [mark for mark in MARKS if mark in response.text]
    assert "rival" in response.text


@pytest.mark.parametrize(
    "wish",
    [
        {"models": [SECRET]},
        {"models": ["sesame-route", "sesame-connection/" + SECRET]},
        {"provider": {"order": ["sesame-connection"]}},
        {"provider": {"only": ["sesame-connection"]}},
    ],
)
def test_wishes_for_another_s_lead_nowhere(as_rival, upstreams, wish):
    response = as_rival.post("/v1/chat/completions", json=CHAT | {"model": OWN} | wish)
    assert response.status_code in (200, 403)
    assert not [mark for mark in MARKS if mark in response.text]
    assert not upstreams.a.log.posts


@pytest.mark.parametrize("ask", CASES.values(), ids=CASES)
def test_nobody_sees_nothing(gateway, acme, ask):
    with httpx.Client(base_url=gateway.url) as nobody:
        assert send(nobody, ask.named(SECRET)).status_code == 401
        assert {nobody.get(path).status_code for path in LISTS.values()} == {401}
        assert nobody.post("/v1/compare", json=CHAT | {"models": [SECRET, OWN]}).status_code == 401


@pytest.mark.parametrize("path", OPERATORS.values(), ids=OPERATORS)
def test_what_is_the_operators_is_no_tenants(gateway, acme, path):
    assert httpx.get(gateway.url + path, headers={"Authorization": f"Bearer {acme.api_key}"}).status_code == 401


@pytest.mark.parametrize("path", OPEN.values(), ids=OPEN)
def test_what_is_open_to_all_tells_of_nobody(gateway, acme, path):
    response = httpx.get(gateway.url + path)
    assert response.status_code == 200
    assert not [mark for mark in MARKS if mark in response.text]
