"""The OpenAPI document and the page that shows it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import resolve
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator

from console.addresses import OF_DJANGO
from console.api.documents import document
from routing import urls as gateway_urls
from tests.console.api.routes import CALLS, name_of

METHODS = ("get", "put", "post", "delete", "patch")
MANAGEMENT = "/api/v1/"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return Client().get("/api/v1/schema").json()


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in schema["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def test_it_is_made_without_a_warning(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call_command("spectacular", "--fail-on-warn", "--validate", stdout=StringIO())
    assert capsys.readouterr().err == ""


def test_it_is_openapi_3_1(schema):
    validate_schema(schema)
    assert schema["openapi"].startswith("3.1")


def test_it_is_open_to_everybody_and_the_same_for_all():
    response = Client().get("/api/v1/schema", headers={"Accept-Language": "th"})
    assert response.status_code == 200
    assert response["Content-Type"].startswith("application/vnd.oai.openapi+json")
    assert response.content == document()


def test_it_tells_every_call_of_the_management_api_and_no_other(schema):
    called = {re.sub(r"<\w+:(\w+)>", r"{\1}", name_of(call)).replace(" ", f" {MANAGEMENT}") for call in CALLS}
    told = {name for name, _operation in operations(schema) if MANAGEMENT in name}
    assert told == called


def test_it_tells_every_address_of_the_gateway_and_no_other(schema):
    served = {"/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(entry.pattern)) for entry in gateway_urls.urlpatterns}
    assert {path for path in schema["paths"] if not path.startswith(MANAGEMENT)} == served | OF_DJANGO
    assert all(resolve(path) for path in OF_DJANGO)


def test_the_gateways_methods_are_those_of_its_views(schema):
    for entry in gateway_urls.urlpatterns:
        view = getattr(entry.callback, "cls", None)
        item = schema["paths"]["/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(entry.pattern))]
        told = {method for method in METHODS if method in item}
        assert told == ({method for method in METHODS if hasattr(view, method)} if view else {"get"})


def test_every_operation_has_a_name_a_summary_and_a_place(schema):
    names = [operation["operationId"] for _name, operation in operations(schema)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in schema["tags"]}
    grouped = [tag for group in schema["x-tagGroups"] for tag in group["tags"]]
    assert sorted(grouped) == sorted(tags)
    for name, operation in operations(schema):
        assert operation["summary"], name
        assert set(operation["tags"]) <= tags, name
        assert operation["security"] is not None, name


def test_every_refusal_is_described(schema):
    for name, operation in operations(schema):
        if "/health/" not in name:
            form = "MessageRefused" if "/v1/messages" in name else "Refused"  # Anthropic's, for its own SDKs
            assert operation["responses"]["default"] == {"$ref": f"#/components/responses/{form}"}, name


def test_every_post_of_the_management_api_takes_an_idempotency_key(schema):
    for name, operation in operations(schema):
        names = {parameter.get("name") for parameter in operation.get("parameters", [])}
        assert ("Idempotency-Key" in names) is name.startswith(f"POST {MANAGEMENT}"), name


def media_with_examples(node: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every schema of a body with each of its examples, wherever it stands."""
    if isinstance(node, dict):
        if "schema" in node and "examples" in node:
            for example in node["examples"].values():
                yield node["schema"], example["value"]
        for inner in node.values():
            yield from media_with_examples(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from media_with_examples(inner)


def test_every_example_fits_its_schema(schema):
    found = list(media_with_examples(schema["paths"])) + list(media_with_examples(schema["components"]["responses"]))
    assert len(found) > 15
    for part, example in found:
        whole = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **part,
            "components": schema["components"],
        }
        Draft202012Validator(whole).validate(example)


def test_every_body_of_the_gateway_has_examples(schema):
    for name, operation in operations(schema):
        if name.startswith("POST /v1/"):
            assert operation["requestBody"]["content"]["application/json"]["examples"], name
            assert operation["responses"]["200"]["content"]["application/json"]["examples"], name


def test_a_reference_leads_somewhere(schema):
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            for inner in node.values():
                yield from references(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from references(inner)

    for reference in set(references(schema)):
        place: Any = schema
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def test_the_page_takes_everything_from_this_server(settings):
    response = Client().get("/docs/api")
    page = response.content.decode()
    policy = response["Content-Security-Policy"]
    assert response.status_code == 200
    assert "//" not in page.replace("<!doctype html>", "")
    assert "drf_spectacular_sidecar/redoc" in page
    assert 'spec-url="/api/v1/schema"' in page
    assert "script-src 'self';" in policy + ";"
    assert "'unsafe-inline'" in re.search(r"style-src ([^;]*)", policy)[1]
    assert "worker-src 'self' blob:" in policy


def test_the_page_leads_back_and_says_what_it_is_in():
    english, thai = (
        Client().get("/docs/api", headers={"Accept-Language": language}).content.decode() for language in ("en", "th")
    )
    assert '<a href="/">Back to the console</a>' in english
    assert "English only" not in english
    assert "ภาษาอังกฤษ" in thai


@pytest.mark.django_db
def test_no_other_page_allows_styles_of_its_own(client):
    assert "unsafe-inline" not in client.get("/accounts/login/")["Content-Security-Policy"]
