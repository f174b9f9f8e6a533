"""What a key may ask about its own use, by the names that OpenRouter's clients know."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.authentication import INFERENCE, MANAGE
from accounts.keys import create_key, revoke_key
from billing import credits
from common.ids import new_request_id
from common.money import NANOS_PER_USD
from tests.console.api.conftest import refused

pytestmark = pytest.mark.django_db


class Caller:
    def __init__(self, organization, actor, *scopes: str) -> None:
        made = create_key(organization, actor, name="App", scopes=[*scopes], created_by=None)
        self.key, self._headers = made.key, {"Authorization": f"Bearer {made.plain}"}

    def get(self, path: str, **query: str):
        return Client().get(f"/v1/{path}", query, headers=self._headers)


@pytest.fixture
def app(acme, as_alice) -> Caller:
    return Caller(acme, as_alice, INFERENCE)


@pytest.fixture
def script(acme, as_alice) -> Caller:
    return Caller(acme, as_alice, MANAGE)


def test_a_generation_by_openrouters_names(app, log):
    one = log(key=app.key, stream=True, finish_reason="stop", token_details={"reasoning": 5}, cost_nanos=45_000)
    told = app.get("generation", id=one.request_id).json()["data"]
    assert (told["id"], told["model"], told["provider_name"]) == (one.request_id, "fast", "upstream")
    assert (told["tokens_prompt"], told["tokens_completion"], told["native_tokens_reasoning"]) == (100, 50, 5)
    assert (told["total_cost"], told["cache_discount"], told["streamed"]) == (0.000045, None, True)
    assert (told["latency"], told["generation_time"], told["finish_reason"]) == (120, 400, "stop")


def test_a_key_sees_its_own_generations_and_one_that_manages_all(app, script, rival, mallory, log):
    own, others = log(key=app.key), log()
    nothing = app.get("generation", id=others.request_id)
    assert refused(nothing, 404, "not_found")
    assert "x-request-id" in nothing.json()["error"]["message"]
    assert script.get("generation", id=own.request_id).status_code == 200
    assert script.get("generation", id=others.request_id).status_code == 200
    theirs = log(organization=rival)
    for asks in (app, script):
        assert refused(asks.get("generation", id=theirs.request_id), 404, "not_found")
        assert refused(asks.get("generation", id=new_request_id()), 404, "not_found")
        assert refused(asks.get("generation", id="gen-123"), 404, "not_found")
        assert refused(asks.get("generation"), 400, "invalid_request", "id")


def test_credits_are_for_keys_that_manage(app, script, acme, as_alice):
    credits.give(acme, as_alice, 3 * NANOS_PER_USD, purpose="gift", reason="Gift")
    assert script.get("credits").json() == {"data": {"total_credits": 3.0, "total_usage": 0.0}}
    assert refused(app.get("credits"), 403, "permission_refused")


def test_usage_is_that_of_the_key(app, log):
    log(key=app.key, model="fast")
    log(key=app.key, model="slow")
    log(model="fast")
    log(key=app.key, at=timezone.now() - timedelta(days=8))
    told = app.get("usage", group_by="model").json()
    assert [(row["model"], row["requests"]) for row in told["data"]] == [("fast", 1), ("slow", 1)]
    assert (told["total"]["requests"], told["total"]["tokens"]) == (2, 300)
    month = {"from": (timezone.now() - timedelta(days=30)).date().isoformat()}
    assert app.get("usage", **month).json()["total"]["requests"] == 3
    assert refused(app.get("usage", group_by="member"), 400, "invalid_request", "group_by")


@pytest.mark.parametrize("path", ["credits", "generation", "usage"])
def test_nobody_else_gets_in(app, as_alice, client_of, alice, path):
    assert refused(Client().get(f"/v1/{path}"), 401, "missing_api_key")
    assert refused(client_of(alice).get(f"/v1/{path}"), 401, "missing_api_key")
    assert app.get(path).headers["x-request-id"].startswith("req_")
    assert refused(Client().post(f"/v1/{path}"), 401, "missing_api_key")
    revoke_key(app.key, as_alice)
    assert refused(app.get(path), 401, "key_revoked")
