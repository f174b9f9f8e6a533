"""An organisation with something to see: a connection with two models, a key, and requests in its log."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.audit import Actor
from accounts.keys import create_key
from accounts.models import ApiKey, Organization, User
from common.ids import new_id
from metering.models import Usage
from metering.partitions import ensure_partitions
from metering.usage import AttemptRecord, UsageRecord
from providers.models import Connection
from providers.services import create_connection
from tests.metering.conftest import record_directly

MODELS = (("demo-chat", "chat"), ("demo-embed", "embedding"))


@pytest.fixture
def connection(acme, as_alice) -> Connection:
    return connect(acme, as_alice)


def connect(organization, actor, name="Aurora", models=MODELS) -> Connection:
    return create_connection(
        organization,
        actor,
        preset="openai",
        name=name,
        api_keys=["sk-upstream-0001-abcd"],
        models=[{"id": name, "kind": kind, "input_price": "0.5", "output_price": "1.5"} for name, kind in models],
    )


@pytest.fixture
def key(acme, as_alice, alice) -> ApiKey:
    return new_key(acme, as_alice, alice)


def new_key(organization: Organization, actor: Actor, maker: User) -> ApiKey:
    return create_key(organization, actor, name="billing service", scopes=["inference"], created_by=maker).key


@pytest.fixture
def log(acme, key) -> list[Usage]:
    return log_of(acme, key)


def log_of(acme: Organization, key: ApiKey) -> list[Usage]:
    """Newest first: answered at the second attempt, answered at once, refused."""
    ensure_partitions()
    return [
        record(acme, key, 1, attempts=[failed("aurora/demo-chat"), answered("borealis/demo-chat")]),
        record(acme, key, 2, attempts=[answered("aurora/demo-chat")], stream=True),
        record(acme, key, 3, status=404, error_code="model_not_found", model="nope", output_tokens=0, cost_nanos=0),
    ]


def answered(target: str) -> AttemptRecord:
    return AttemptRecord(target, 1, "c", "ok", 200, started_ms=5, duration_ms=300, ttft_ms=120)


def failed(target: str) -> AttemptRecord:
    return AttemptRecord(target, 2, "c", "server_error", 500, started_ms=0, duration_ms=4, detail="HTTP 500")


def record(organization: Organization, key: ApiKey | None, seconds_ago: int, **fields) -> Usage:
    """Written as the gateway's recorder writes it, for sums count only what came that way."""
    attempts = fields.pop("attempts", [])
    usage = UsageRecord(
        **{
            "request_id": new_id("req"),
            "started_at": (timezone.now() - timedelta(seconds=seconds_ago)).isoformat(),
            "org_id": organization.pk,
            "key_id": key.pk if key else None,
            "user_id": None,
            "endpoint": "chat/completions",
            "model": "demo-chat",
            "status": 200,
            "usage_source": "reported",
            "billing_reason": "completed",
            "target": attempts[-1].target if attempts else "",
            "attempts": tuple(attempts),
            "attempt_count": len(attempts),
            "input_tokens": 12,
            "output_tokens": 34,
            "cost_nanos": 57_000,
            "duration_ms": 305,
            "ttft_ms": 120,
        }
        | fields
    )
    record_directly(usage)
    return Usage.objects.of(organization).get(request_id=usage.request_id)


@pytest.fixture
def as_browser(client_of):
    """A signed-in browser, in one of the two languages."""

    def browser(user, language: str = "en") -> Client:
        client = client_of(user)
        client.cookies["django_language"] = language
        session = client.session
        session["signed_in_at_s"] = timezone.now().timestamp()
        session.save()
        return client

    return browser
