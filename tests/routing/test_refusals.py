"""What cannot be served: each refusal with its status, its four keys, and a way out."""

from __future__ import annotations

import time
from datetime import timedelta

import httpx
import openai
import pytest
from django.utils import timezone

from accounts.keys import revoke_key, rotate_key
from providers.services import disable_connection
from tests.figures import timed

MODEL = "sim-chat"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
URL = "/v1/chat/completions"


@pytest.fixture
def served(tenant, upstreams):
    return tenant.connect(upstreams.a.base_url, [MODEL])


def error_of(response: httpx.Response) -> dict:
    error = response.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert response.headers["x-request-id"].startswith("req_")
    return error


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": BODY["messages"]}, "model"),
        ({"model": 7, "messages": BODY["messages"]}, "model"),
        ({"model": MODEL}, "messages"),
        ({"model": MODEL, "messages": []}, "messages"),
        ({"model": MODEL, "messages": "hello"}, "messages"),
        ({"model": MODEL, "messages": ["hello"]}, "messages[0]"),
        (BODY | {"stream": "yes"}, "stream"),
        (BODY | {"stream_options": {"include_usage": True}}, "stream_options"),
        (BODY | {"max_tokens": 0}, "max_tokens"),
        (BODY | {"max_tokens": -5}, "max_tokens"),
        (BODY | {"max_completion_tokens": 1.5}, "max_completion_tokens"),
        (BODY | {"models": "other"}, "models"),
        (BODY | {"provider": {"sort": "beauty"}}, "provider.sort"),
        (BODY | {"provider": {"only": "a"}}, "provider.only"),
    ],
)
def test_a_wrong_field_is_named(http, served, body, param):
    response = http.post(URL, json=body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"model": "a", "model": "b"}',
        b'{"model": "sim-chat", "temperature": NaN}',
        b'{"model": "sim-chat", "x": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"model": "\xff"}',
        b'{"model": "\\ud800"}',
        b'{"model": "sim-chat", "n": ' + b"9" * 5000 + b"}",
        b'{"model": "sim-chat"} trailing',
    ],
)
def test_hostile_json_is_refused_before_anything_is_sent(http, served, upstreams, raw):
    response = http.post(URL, content=raw, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert error_of(response)["code"] == "invalid_json"
    assert not upstreams.a.log.posts


def test_an_unknown_model_names_near_ones(http, served):
    response = http.post(URL, json=BODY | {"model": "sim-chatt"})
    assert response.status_code == 404
    error = error_of(response)
    assert error["code"] == "model_not_found"
    assert MODEL in error["message"]
    assert MODEL in error["metadata"]["near"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "missing_api_key"),
        ({"Authorization": "Basic abc"}, 401, "missing_api_key"),
        ({"Authorization": "Bearer sk-nonsense"}, 401, "invalid_api_key"),
        ({"Authorization": "Bearer sk-sai-" + "a" * 12 + "-" + "b" * 38}, 401, "invalid_api_key"),
        ({"Authorization": "Bearer one", "x-api-key": "two"}, 400, "invalid_request"),
    ],
)
def test_wrong_credentials(gateway, served, headers, status, code):
    response = httpx.post(gateway.url + URL, json=BODY, headers=headers)
    assert response.status_code == status
    assert error_of(response)["code"] == code


def test_a_mistyped_key_is_refused(gateway, tenant, served):
    wrong = tenant.api_key[:-1] + ("A" if tenant.api_key[-1] != "A" else "B")
    response = httpx.post(gateway.url + URL, json=BODY, headers={"Authorization": f"Bearer {wrong}"})
    assert response.status_code == 401


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
def test_the_other_headers_for_a_key(gateway, tenant, served, header):
    assert httpx.post(gateway.url + URL, json=BODY, headers={header: tenant.api_key}).status_code == 200


def test_a_model_that_the_key_may_not_use(gateway, tenant, upstreams):
    tenant.connect(upstreams.a.base_url, [MODEL, "other"])
    _, plain = tenant.new_key(allowed_models=["other"])
    with openai.OpenAI(base_url=gateway.base_url, api_key=plain, max_retries=0) as client:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            client.chat.completions.create(**BODY)
        assert caught.value.code == "model_not_allowed"
        assert [model.id for model in client.models.list()] == ["other"]


def test_a_key_of_the_management_api_may_not_infer(gateway, tenant, served):
    _, plain = tenant.new_key(scopes=["manage"])
    response = httpx.post(gateway.url + URL, json=BODY, headers={"Authorization": f"Bearer {plain}"})
    assert response.status_code == 403


def test_a_key_bound_to_other_addresses(gateway, tenant, served):
    _, plain = tenant.new_key(ip_allow=["10.0.0.0/8"])
    response = httpx.post(gateway.url + URL, json=BODY, headers={"Authorization": f"Bearer {plain}"})
    assert response.status_code == 403
    assert error_of(response)["code"] == "ip_not_allowed"


def _until(check, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if check():
            return True
        time.sleep(0.02)
    return False


def test_revoking_is_felt_by_every_process(gateway, tenant, served):
    key, plain = tenant.new_key()
    headers = {"Authorization": f"Bearer {plain}"}

    def statuses() -> set[int]:
        # A new connection each time reaches either of the two processes.
        return {httpx.post(gateway.url + URL, json=BODY, headers=headers).status_code for _ in range(8)}

    assert statuses() == {200}
    with timed("a revoked key is refused by both processes after"):
        revoke_key(key, tenant.actor)
        assert _until(lambda: statuses() == {401}, 10)


def test_rotation_overlaps(gateway, tenant, served):
    key, old = tenant.new_key()
    new = rotate_key(key, tenant.actor, overlap_s=60).plain

    def status(plain: str) -> int:
        return httpx.post(gateway.url + URL, json=BODY, headers={"Authorization": f"Bearer {plain}"}).status_code

    assert (status(old), status(new)) == (200, 200)


def test_an_expired_key(gateway, tenant, served):
    _, plain = tenant.new_key(expires_at=timezone.now() + timedelta(seconds=1))
    headers = {"Authorization": f"Bearer {plain}"}
    assert _until(lambda: httpx.post(gateway.url + URL, json=BODY, headers=headers).status_code == 401, 10)
    response = httpx.post(gateway.url + URL, json=BODY, headers=headers)
    assert error_of(response)["code"] == "key_expired"


def test_no_healthy_target_says_why_and_when(http, tenant, served, upstreams):
    upstreams.a.fail("429")
    assert http.post(URL, json=BODY).status_code == 502
    responses = [http.post(URL, json=BODY) for _ in range(6)]
    refused = [response for response in responses if response.status_code == 503]
    assert refused
    error = error_of(refused[0])
    assert error["code"] == "no_provider_available"
    assert error["metadata"]["rejected"][0]["reason"] == "cooling_down"
    assert 0 < int(refused[0].headers["retry-after-ms"]) <= 1000
    assert refused[0].headers["x-should-retry"] == "true"


def test_a_disabled_connection_is_gone(http, tenant, served):
    assert http.post(URL, json=BODY).status_code == 200
    disable_connection(served, tenant.actor)
    assert _until(lambda: http.post(URL, json=BODY).status_code == 404, 10)


def test_another_organisation_sees_nothing(http, gateway, served):
    from tests.stack import make_tenant

    rival = make_tenant("Rival")
    headers = {"Authorization": f"Bearer {rival.api_key}"}
    assert httpx.post(gateway.url + URL, json=BODY, headers=headers).status_code == 404
    missing = httpx.get(f"{gateway.url}/v1/models/nothing", headers=headers).json()["error"]
    foreign = httpx.get(f"{gateway.url}/v1/models/{MODEL}", headers=headers).json()["error"]
    assert foreign | {"message": ""} == missing | {"message": ""}


def test_too_large_a_body(http, served):
    response = http.post(URL, content=b"x" * (11 << 20))
    assert response.status_code == 413
    assert error_of(response)["code"] == "payload_too_large"


def test_a_compressed_body_is_refused(http, served):
    response = http.post(URL, content=b"x", headers={"Content-Encoding": "gzip"})
    assert response.status_code == 415


def test_too_many_headers(http, served):
    response = http.post(URL, json=BODY, headers={f"x-h{n}": "1" for n in range(80)})
    assert response.status_code == 400


@pytest.mark.parametrize(("method", "url"), [("GET", URL), ("DELETE", "/v1/models"), ("PUT", "/v1/key")])
def test_a_wrong_method(http, method, url):
    assert http.request(method, url).status_code == 405


def test_a_wrong_path(http):
    response = http.get("/v1/nothing")
    assert response.status_code == 404
    error_of(response)


def test_the_key_describes_itself(http, tenant):
    described = http.get("/v1/key").json()
    assert described["scopes"] == ["inference"]
    assert tenant.api_key not in str(described)


def test_using_a_key_is_noted(gateway, tenant, served):
    key, plain = tenant.new_key()
    assert key.last_used_at is None
    httpx.post(gateway.url + URL, json=BODY, headers={"Authorization": f"Bearer {plain}"})

    def is_noted() -> bool:
        key.refresh_from_db()
        return key.last_used_at is not None

    assert _until(is_noted, 10)


def test_it_says_that_it_lives_and_is_ready(gateway):
    assert httpx.get(f"{gateway.url}/health/live").json()["status"] == "live"
    assert httpx.get(f"{gateway.url}/health/ready").status_code == 200
