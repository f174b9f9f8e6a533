"""A base URL that is not quite right: whoever sends a key reads JSON that says what it should be."""

from __future__ import annotations

import pytest
from django.test import Client

ADDRESSES = ["/chat/completions", "/v1", "/openai/v1/embeddings", "//v1/chat/completions"]


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_an_sdk_is_told_the_base_url(db, settings, address, header):
    settings.GATEWAY_URL = "http://10.0.0.7:8000"  # which only the console's own processes reach
    response = Client(headers={header: "Bearer sk-any"}).post(address, {}, "application/json")
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (404, "not_found", None)
    assert f"{settings.PUBLIC_URL}/v1" in error["message"]
    assert response["x-request-id"].startswith("req_")


def test_a_person_gets_a_page(db):
    response = Client().get("/nothing-here")
    assert response.status_code == 404
    assert "text/html" in response["content-type"]
