"""How the views describe themselves in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from drf_spectacular import plumbing
from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.fields import empty

from console.api.fields import Kind, PageQuery, Query, Shown, SignedUsdOfNanos

force_instance = cast(Any, plumbing).force_instance

F = TypeVar("F", bound=Callable[..., Any])

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    OpenApiParameter.HEADER,
    description="Any text of your own. Sent again within a day with the same body, the request acts once and is"
    " answered alike.",
)


def described(
    operation: str,
    summary: str,
    *,
    body: type[serializers.Serializer[Any]] | None = None,
    answer: type[serializers.Serializer[Any]] | dict[tuple[int, str], Any] | None = None,
    status: int = 200,
    query: type[Query] | None = None,
    sent: Mapping[str, Any] | None = None,
    got: Mapping[str, Any] | None = None,
) -> Callable[[F], F]:
    """
    Args:
        operation: the `operationId`.
        sent, got: an example of the body and of the answer.
    """
    examples = [OpenApiExample("Request", value=dict(sent), request_only=True)] if sent else []
    if got:
        examples.append(OpenApiExample("Answer", value=dict(got), response_only=True, status_codes=[str(status)]))
    responses: dict[Any, Any] = dict(answer) if isinstance(answer, dict) else {status: answer}
    return extend_schema(
        operation_id=operation,
        summary=summary,
        request=body,
        responses=responses,
        parameters=[query] if query else [],
        examples=examples,
    )


def list_of(shown: type[Shown], *, query: type[Query] = PageQuery) -> dict[str, Any]:
    """The arguments of `described` for a list, a page at a time."""
    name = shown.__name__.removesuffix("Shown") + "ListShown"
    fields = {
        "object": Kind("list"),
        "data": shown(many=True),
        "has_more": serializers.BooleanField(),
        "next_cursor": serializers.CharField(allow_null=True, help_text="Give it as `cursor` for the next page."),
    }
    return {"answer": type(name, (Shown,), fields), "query": query}


class Described(AutoSchema):
    def get_tags(self) -> list[str]:
        return [cast(Any, self.view).tag]

    def get_override_parameters(self) -> list[Any]:
        return [*super().get_override_parameters(), *([IDEMPOTENCY_KEY] if self.method == "POST" else [])]

    def get_serializer_name(self, serializer: serializers.Serializer[Any], direction: Any) -> str:
        return super().get_serializer_name(serializer, direction).removesuffix("Shown")


class _KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "console.api.access.KeyAuthentication"
    name = "manageKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        text = "An API key with the scope `manage`. The headers `x-api-key` and `api-key` take it as well."
        return {"type": "http", "scheme": "bearer", "description": text}


class _SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "console.api.access.SessionAuthentication"
    name = "consoleSession"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        text = "The session of a signed-in person, for the organisation chosen last. Writes need `X-CSRFToken`."
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": text}


class _BodyIsClosed(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = "console.api.fields.Body"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        mapped = _mapped(auto_schema, self.target, direction)
        return {**mapped, "additionalProperties": False}


class _AnswerIsWhole(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """An answer has every field that its class does not call optional, and nobody sends it."""

    target_class = "console.api.fields.Shown"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        mapped: dict[str, Any] = cast(Any, auto_schema)._map_serializer(
            self.target, direction, bypass_extensions=True
        )
        for schema in mapped.get("properties", {}).values():
            for word in ("readOnly", "default"):
                schema.pop(word, None)
        fields = force_instance(self.target).fields.items()
        always = [name for name, field in fields if field.required or field.read_only or field.default is not empty]
        return {**mapped, "required": always}


def _mapped(auto_schema: Any, target: Any, direction: Any) -> dict[str, Any]:
    """Without the description that a class inherits: it speaks of all bodies or all answers."""
    mapped: dict[str, Any] = auto_schema._map_serializer(target, direction, bypass_extensions=True)
    if not type(force_instance(target)).__dict__.get("__doc__"):
        mapped.pop("description", None)
    return mapped


class _KindIsConstant(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "console.api.fields.Kind"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        return {"type": "string", "const": self.target.word}


class _DimensionsAreText(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "console.api.usage.Dimensions"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        word = "|".join(self.target.CHOICES)
        return {"type": "string", "pattern": f"^(({word})(,({word}))*)?$", "examples": ["model,day"]}


class _UsdIsText(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "console.api.fields.Usd"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        sign = "-?" if isinstance(self.target, SignedUsdOfNanos) else ""
        exact = {"type": "string", "pattern": rf"^{sign}\d+(\.\d+)?$", "examples": ["0.15"]}
        return exact if direction == "response" else {"anyOf": [exact, {"type": "number", "minimum": 0}]}
