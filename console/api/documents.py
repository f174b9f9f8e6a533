"""The OpenAPI document, and the page that shows it."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import orjson
from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator


@cache
def document() -> bytes:
    """The same for everybody, so it is made once by each process."""
    with override("en"):
        schema = cast(Any, SchemaGenerator)().get_schema(request=None, public=True)
    return orjson.dumps(schema, default=str)


@require_safe
@never_cache
def schema_document(request: HttpRequest) -> HttpResponse:
    return HttpResponse(document(), content_type="application/vnd.oai.openapi+json; version=3.1")


@require_safe
@csp_replace({"style-src": [SELF, UNSAFE_INLINE], "worker-src": [SELF, "blob:"]})
def reference(request: HttpRequest) -> HttpResponse:
    """Redoc writes its own style elements, which is why this page alone, with nobody's data on it, allows them."""
    return render(request, "console_api/reference.html")
