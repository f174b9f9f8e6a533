"""The gateway against its own schema: whatever is sent, an answer or a coded refusal, and never an internal error."""

from __future__ import annotations

import json

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, settings
from schemathesis.core import NOT_SET

MODEL = "sim-chat"
OF_PATH = {
    "/v1/embeddings": "embedding",
    "/v1/moderations": "moderation",
    "/v1/rerank": "rerank",
    "/v1/images/generations": "image",
}
"""Models of other kinds bear their names."""
SCHEMA = schemathesis.openapi.from_wsgi("/api/v1/schema", get_wsgi_application()).include(path_regex="^/v1/")
OURS = {400, 401, 402, 403, 404, 405, 409, 413, 415, 422}


@pytest.fixture
def send(http, tenant, upstreams):
    priced = {"input_price": "0.1", "output_price": "0.2"}
    kinds = [{"id": kind, "kind": kind, "upstream_id": MODEL} for kind in OF_PATH.values()]
    tenant.connect(upstreams.a.base_url, [model | priced for model in ({"id": MODEL}, *kinds)])

    def send(case):
        return http.request(case.method, case.formatted_path, content=raw(case.body))

    return send


def raw(body) -> bytes:
    if body is NOT_SET:
        return b""
    return body if isinstance(body, bytes) else json.dumps(body, default=str).encode()


def with_a_model_that_exists(case):
    """So that not every answer is a 404."""
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = OF_PATH.get(case.path, MODEL)
        case.body.pop("models", None)
    if "model" in (case.path_parameters or {}):
        case.path_parameters["model"] = MODEL
    return case


@SCHEMA.parametrize()
@settings(max_examples=12, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any(case, send):
    response = send(with_a_model_that_exists(case))
    assert response.status_code == 200 or response.status_code in OURS, response.text
    if response.status_code != 200:
        assert {"message", "type", "param", "code"} <= response.json()["error"].keys()
