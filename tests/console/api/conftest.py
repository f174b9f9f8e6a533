"""Callers of the management API, and rows of usage to show."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import orjson
import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accounts.audit import Actor
from accounts.authentication import MANAGE
from accounts.keys import create_key
from accounts.models import ApiKey, Organization, User
from common.ids import new_request_id
from metering.ingest import insert
from metering.models import Usage
from metering.usage import UsageRecord


class Api:
    """The management API, as one caller sees it."""

    def __init__(self, client: Client | None = None, **headers: str) -> None:
        self.client = client or Client()
        self.headers = headers

    def get(self, path: str, **query: object) -> HttpResponse:
        query = {name.rstrip("_"): value for name, value in query.items()}
        return self.client.get(f"/api/v1/{path}", query, headers=self.headers)

    def post(self, path: str, body: object = None, **headers: str) -> HttpResponse:
        return self.send("POST", path, body, **headers)

    def put(self, path: str, body: object) -> HttpResponse:
        return self.send("PUT", path, body)

    def patch(self, path: str, body: object) -> HttpResponse:
        return self.send("PATCH", path, body)

    def delete(self, path: str) -> HttpResponse:
        return self.send("DELETE", path)

    def send(self, method: str, path: str, body: object = None, **headers: str) -> HttpResponse:
        """Args: body: bytes as they are; anything else as JSON."""
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.generic(method, f"/api/v1/{path}", data, "application/json", headers=sent)


def manager_of(organization: Organization, owner: User, name: str = "Automation") -> Api:
    made = create_key(organization, Actor.of_user(owner), name=name, scopes=[MANAGE], created_by=None)
    return Api(Authorization=f"Bearer {made.plain}")


def error_of(response: HttpResponse) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    return error


def refused(response: HttpResponse, status: int, code: str, param: str | None = None) -> bool:
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (status, code, param), error
    return True


@pytest.fixture
def api(acme, alice) -> Api:
    """Acme's, by a key with the scope `manage`."""
    return manager_of(acme, alice)


@pytest.fixture
def api_of(client_of) -> Callable[[User], Api]:
    """By the session of a person."""
    return lambda user: Api(client_of(user))


@pytest.fixture
def sam(make_user, join, rival) -> User:
    """Of the operator's staff, in an organisation that has nothing to do with any of this."""
    sam: User = make_user("sam@operator.test", is_staff=True)
    join(rival, sam, "viewer")
    return sam


@pytest.fixture
def staff(sam, api_of) -> Api:
    return api_of(sam)


@pytest.fixture
def rival_api(rival, mallory) -> Api:
    return manager_of(rival, mallory)


@pytest.fixture
def log(acme) -> Callable[..., Usage]:
    """Writes one request of acme into the log, an ordinary one unless told otherwise."""

    def log(organization: Organization = acme, key: ApiKey | None = None, at: datetime | None = None, **fields: Any):
        return logged(organization, key, at, **fields)

    return log


def logged(organization: Organization, key: ApiKey | None = None, at: datetime | None = None, **fields: Any) -> Usage:
    """One request in the log, an ordinary one unless told otherwise."""
    ordinary: dict[str, Any] = {
        "request_id": new_request_id(),
        "started_at": at or timezone.now(),
        "org_id": organization.pk,
        "key_id": key.pk if key else None,
        "user_id": None,
        "endpoint": "chat/completions",
        "model": "fast",
        "route": "fast",
        "target": "upstream/small",
        "status": 200,
        "usage_source": "reported",
        "billing_reason": "tokens",
        "input_tokens": 100,
        "cached_tokens": 10,
        "output_tokens": 50,
        "cost_nanos": 45_000,
        "price_version": 1,
        "attempts": [attempt("upstream/small")],
        "attempt_count": 1,
        "duration_ms": 400,
        "ttft_ms": 120,
        "overhead_us": 210,
        "user_agent": "OpenAI/Python",
    }
    return recorded(ordinary | fields)


def recorded(fields: dict[str, Any]) -> Usage:
    """By the way that the journal takes, so that reports know of it."""
    record = msgspec.convert(fields | {"started_at": fields["started_at"].isoformat()}, UsageRecord)
    with connection.cursor() as cursor:
        insert(cursor.cursor, [msgspec.json.encode(record)], [record], [])
    return Usage.objects.get(request_id=record.request_id)


def attempt(target: str, outcome: str = "ok", **fields: Any) -> dict[str, Any]:
    ordinary = {"target": target, "target_id": 7, "credential": "ckey_1", "outcome": outcome, "status": 200}
    return ordinary | {"started_ms": 1, "duration_ms": 390, "ttft_ms": 120, "detail": ""} | fields


def add_provider(api: Api, name: str, *models: str) -> dict[str, Any]:
    """A provider with these models, for routes to lead to."""
    body = {"name": name, "base_url": "https://llm.example.com/v1", "models": [{"id": model} for model in models]}
    answer = api.post("providers", body)
    assert answer.status_code == 201, answer.content
    return answer.json()
