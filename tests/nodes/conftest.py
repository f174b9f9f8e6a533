"""Nodes of the cast, as rows and as machines that enrol."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.audit import Actor
from accounts.models import Organization
from nodes.enrolment import create_token
from nodes.findings import store_models
from nodes.models import Node
from nodes.reports import parse
from tests.nodes.machine import Machine


@pytest.fixture
def token(acme: Organization, as_alice: Actor) -> str:
    """A single-use one of acme."""
    return create_token(acme, as_alice).plain


@pytest.fixture
def enrolled(acme: Organization, as_alice: Actor) -> Callable[..., Node]:
    """A machine that is in, with the models that it says it has."""

    def enrolled(
        name: str = "Workbench",
        *models: str,
        org: Organization = acme,
        actor: Actor = as_alice,
        machine: Machine | None = None,
    ) -> Node:
        answer = (machine or Machine()).enrol(create_token(org, actor).plain, name=name)
        assert answer.status_code == 201, answer.content
        node = Node.objects.select_related("org").get(public_id=answer.json()["node"])
        said = [{"id": model, "runtime": "ollama"} for model in models or ("llama3.1:8b",)]
        store_models(node.public_id, parse({"models": said}).models)
        return node

    return enrolled
