"""The addresses below `/docs/`."""

from __future__ import annotations

from django.urls import path

from console.api.documents import reference

urlpatterns = [path("api", reference, name="api-reference")]
