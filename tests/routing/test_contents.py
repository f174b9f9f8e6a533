"""Prompts and answers are kept for those who want that, through a real gateway of two processes."""

from __future__ import annotations

from datetime import timedelta

import httpx
import orjson
import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.organizations import update_organization
from metering import contents
from metering.models import Content, Usage
from routing.replies import Source
from routing.services import put_route
from routing.sink import Sink
from routing.transcripts import Overheard, Tap
from tests.ownredis import eventually
from tests.routing.hearing import let_all_hear
from tests.stack import GatewayProcess, Tenant, make_tenant

URL = "/v1/chat/completions"
SECRET = "the colour of the safe is green"
BODY = {"model": "sim-chat", "messages": [{"role": "user", "content": SECRET}]}


@pytest.fixture
def acme(tenant: Tenant, upstreams) -> Tenant:
    tenant.connect(upstreams.a.base_url, ["sim-chat"], options={"data_collection": "deny"})
    return tenant


@pytest.fixture
def keeping(acme: Tenant, gateway: GatewayProcess) -> Tenant:
    update_organization(acme.org, acme.actor, log_content=True)
    let_all_hear(gateway, acme)
    return acme


@pytest.fixture
def ask(gateway: GatewayProcess, acme: Tenant):
    def ask(key: str = "", headers: dict[str, str] | None = None, **body) -> str:
        sent = {"Authorization": f"Bearer {key or acme.api_key}"} | (headers or {})
        answer = httpx.post(gateway.url + URL, json=BODY | body, headers=sent, timeout=30)
        return answer.headers["x-request-id"]

    return ask


def rows(tenant: Tenant) -> int:
    return Content.objects.of(tenant.org).count()


def kept(tenant: Tenant, request_id: str) -> contents.Kept:
    eventually(lambda: contents.is_kept(tenant.org, request_id), 10)
    found = contents.read(tenant.org, tenant.actor, request_id)
    assert found is not None
    return found


def recorded(tenant: Tenant, request_id: str) -> None:
    eventually(lambda: Usage.objects.of(tenant.org).filter(request_id=request_id).exists(), 10)


def test_off_keeps_nothing(acme, gateway, ask):
    recorded(acme, ask())
    ask()
    update_organization(acme.org, acme.actor, log_content=True)
    let_all_hear(gateway, acme)
    kept(acme, ask())
    assert rows(acme) == 1, "of the two before nothing came late either"


def test_prompt_and_answer_are_kept_sealed_and_nobody_else_reads_them(keeping, ask, gateway):
    request_id = ask()
    recorded(keeping, request_id)
    found = kept(keeping, request_id)
    said = contents.shown(found)
    assert said["request"]["messages"][0]["content"] == SECRET
    assert said["response"]["choices"][0]["message"]["content"]
    [row] = Content.objects.of(keeping.org)
    assert SECRET.encode() not in bytes(row.sealed)
    assert row.prompt_hash == Usage.objects.of(keeping.org).get(request_id=request_id).prompt_hash
    files = [*(gateway.data_dir / "journal" / "content").glob("*")]
    assert files
    assert all(SECRET.encode() not in file.read_bytes() for file in files)
    other = make_tenant()
    assert contents.read(other.org, other.actor, request_id) is None
    Content.objects.filter(pk=row.pk).update(org=other.org)
    assert contents.read(other.org, other.actor, request_id) is None, "moved, it does not open"
    event = AuditEvent.objects.of(keeping.org).filter(action="content.read").get()
    assert event.object_id == request_id


def test_a_stream_is_put_together(keeping, ask):
    found = kept(keeping, ask(stream=True))
    said = contents.shown(found)
    assert said["streamed"] is True
    whole = contents.shown(kept(keeping, ask()))
    text = whole["response"]["choices"][0]["message"]["content"]
    assert said["response"]["choices"][0]["message"]["content"] == text
    assert said["response"]["choices"][0]["finish_reason"] == "stop"


def test_a_refusal_and_a_hit_are_kept_too(keeping, ask):
    refused = contents.shown(kept(keeping, ask(model="nothing-like-it")))
    assert (refused["status"], refused["response"]["error"]["code"]) == (404, "model_not_found")


def test_under_an_idempotency_key_it_is_kept_once(keeping, ask):
    first = ask(headers={"Idempotency-Key": "one"})
    kept(keeping, first)
    assert ask(headers={"Idempotency-Key": "one"}) == first
    kept(keeping, ask())
    assert rows(keeping) == 2


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Cache-Control": "no-store"}, {}),
        ({}, {"store": False}),
        ({}, {"provider": {"data_collection": "deny"}}),
        ({}, {"provider": {"zdr": True}}),
    ],
)
def test_a_request_can_object(keeping, ask, headers, body):
    recorded(keeping, ask(headers=headers, **body))
    kept(keeping, ask())
    assert rows(keeping) == 1


def test_a_key_can_object(keeping, ask, gateway):
    _, plain = keeping.new_key(logs_content=False)
    let_all_hear(gateway, keeping)
    recorded(keeping, ask(plain))
    kept(keeping, ask())
    assert rows(keeping) == 1


def test_what_is_private_is_not_kept(keeping, ask, gateway):
    put_route(keeping.org, keeping.actor, "home", {"targets": [{"target": "sim-chat"}], "private": True})
    let_all_hear(gateway, keeping)
    ask(model="home")
    ask(model="sim-chat:private")
    kept(keeping, ask())
    assert rows(keeping) == 1


def test_a_purge_deletes_what_is_there_and_what_was_under_way(keeping, ask):
    kept(keeping, ask())
    assert contents.purge(keeping.org, keeping.actor) == 1
    assert rows(keeping) == 0
    kept(keeping, ask())
    assert rows(keeping) == 1, "keeping goes on"


def test_each_organisation_keeps_for_its_own_time(keeping, ask):
    young, old = ask(), ask()
    kept(keeping, young), kept(keeping, old)
    update_organization(keeping.org, keeping.actor, content_days=3)
    days = timezone.now() - timedelta(days=3, minutes=1)
    Content.objects.of(keeping.org).filter(request_id=old).update(started_at=days)
    contents.expire()
    assert [row.request_id for row in Content.objects.of(keeping.org)] == [young]
    update_organization(keeping.org, keeping.actor, content_days=30, retention_days=1)
    Content.objects.of(keeping.org).update(started_at=timezone.now() - timedelta(days=1, minutes=1))
    contents.expire()
    assert rows(keeping) == 0, "never longer than the log itself"


def test_an_export_tells_all_and_is_in_the_audit_trail(keeping, ask):
    ids = [ask() for _ in range(3)]
    for request_id in ids:
        kept(keeping, request_id)
    lines = [orjson.loads(contents.as_line(each)) for each in contents.export(keeping.org, keeping.actor, None, None)]
    assert [line["id"] for line in lines] == ids
    event = AuditEvent.objects.of(keeping.org).filter(action="content.exported").get()
    assert event.after["requests"] == 3


@pytest.mark.parametrize(("wrapper", "wrapped"), [(Overheard, Source), (Tap, Sink)])
def test_who_listens_passes_everything_on(wrapper, wrapped):
    """A method that a stream or a sink gets later must not end at who merely listens."""
    said = {name for name in vars(wrapped) if not name.startswith("_") and callable(getattr(wrapped, name))}
    assert said <= vars(wrapper).keys()
