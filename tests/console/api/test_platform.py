"""What belongs to the platform, and what an organisation sees of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.audit import Actor
from providers.models import Connection
from providers.services import create_connection

pytestmark = pytest.mark.django_db


@pytest.fixture
def platform_connection(settings) -> Callable[[], Connection]:
    return lambda: create_connection(
        None,
        Actor.system("tests"),
        preset="custom",
        name="Platform",
        base_url="https://llm.example.com/v1",
        api_keys=["sk-platform-0123456789"],
        models=[{"id": "shared"}],
    )


def test_a_provider_of_the_platform_is_a_target_but_nobodys_to_change(platform_connection, api):
    connection = platform_connection()
    [target] = api.get("targets").json()["data"]
    assert (target["name"], target["is_own"]) == ("platform/shared", False)
    assert api.get("providers").json()["data"] == []
    for method in ("GET", "PATCH", "DELETE"):
        assert api.send(method, f"providers/{connection.public_id}", {}).status_code == 404
    assert api.post(f"providers/{connection.public_id}/test").status_code == 404
