"""Fills the demo: a person, their organisation, keys, and connections to the upstreams that `make run` starts.

Running it again changes only what no longer fits: a port that moved, a key that was revoked. Whatever a person
changed in the console stays.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import apikeys
from accounts.audit import Actor
from accounts.authentication import INFERENCE, MANAGE
from accounts.keys import active_keys, create_key
from accounts.models import Membership, Organization, User
from accounts.organizations import create_organization
from billing import credits
from common.money import NANOS_PER_USD
from console.demo_earnings import seed_earnings
from console.demo_machine import seed_machine
from console.embedded.keep import read_env, write_private
from providers import services
from providers.keypool import opened_keys
from providers.models import Connection

EMAIL = "demo@shareai.local"
ORGANIZATION = "Demo"
SYSTEM = Actor.system("demo")
ENV_FILE = "demo.env"
WELCOME_NANOS = 25 * NANOS_PER_USD


@dataclass(frozen=True, slots=True)
class DemoModel:
    """Prices in USD per million tokens."""

    input_price: str
    output_price: str
    kind: str = "chat"
    context_tokens: int = 8192

    def as_given(self, model_id: str) -> dict[str, Any]:
        return {
            "id": model_id,
            "kind": self.kind,
            "input_price": self.input_price,
            "output_price": self.output_price,
            "context_tokens": self.context_tokens,
        }


@dataclass(frozen=True, slots=True)
class DemoUpstream:
    """What the seed knows of an upstream; DEMO_UPSTREAMS says where it listens, and may name other models."""

    name: str
    simulated: bool
    priority: int
    chat: DemoModel
    embedding: DemoModel | None = None
    models: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()

    def given_models(self, names: list[str]) -> list[dict[str, Any]]:
        return [self._given(name) for name in names]

    def _given(self, name: str) -> dict[str, Any]:
        if self.embedding and "embed" in name:
            return self.embedding.as_given(name)
        if name in _OTHERS:
            return _OTHERS[name].as_given(name)
        return self.chat.as_given(name) | {"capabilities": self.capabilities}


_OTHERS = {
    "demo-moderation": DemoModel("0.01", "0", kind="moderation"),
    "demo-rerank": DemoModel("0.02", "0", kind="rerank"),
    "demo-image": DemoModel("5", "40", kind="image"),
}
_SIMULATED_MODELS = ("demo-chat", "demo-embed", *_OTHERS)
UPSTREAMS = {
    "aurora": DemoUpstream(
        name="Aurora",
        simulated=True,
        priority=10,
        chat=DemoModel("0.50", "1.50"),
        embedding=DemoModel("0.05", "0", kind="embedding"),
        models=_SIMULATED_MODELS,
        capabilities=("json_schema", "prefill", "tools"),
    ),
    "borealis": DemoUpstream(
        name="Borealis",
        simulated=True,
        priority=20,
        chat=DemoModel("0.20", "0.60"),
        embedding=DemoModel("0.02", "0", kind="embedding"),
        models=_SIMULATED_MODELS,
        capabilities=("json_schema", "prefill", "tools"),
    ),
    "llama": DemoUpstream(
        name="Llama",
        simulated=False,
        priority=30,
        chat=DemoModel("0", "0", context_tokens=512),
        models=("tiny-llama",),
    ),
}


class Command(BaseCommand):
    help = "Prepares the demo: user, organisation, keys, connections, a machine's token; writes DATA_DIR/demo.env."

    def handle(self, *args: Any, **options: Any) -> None:
        for name, where in _upstreams().items():
            seed_upstream(UPSTREAMS[name], where)
        path = settings.DATA_DIR / ENV_FILE
        wanted = seed_person(read_env(path))
        write_private(path, "".join(f"{name}={value}\n" for name, value in wanted.items()))
        organization = organization_of(User.objects.get(email=EMAIL))
        credits.give(organization, SYSTEM, WELCOME_NANOS, purpose="welcome", reason="Welcome")
        seed_machine(organization, SYSTEM, settings.DATA_DIR)
        seed_earnings(User.objects.get(email=EMAIL), SYSTEM)


def _upstreams() -> dict[str, dict[str, Any]]:
    raw = os.environ.get("DEMO_UPSTREAMS", "{}")
    try:
        given: dict[str, dict[str, Any]] = json.loads(raw)
    except json.JSONDecodeError as error:
        raise CommandError(f"DEMO_UPSTREAMS is not valid JSON: {error}") from error
    if unknown := given.keys() - UPSTREAMS.keys():
        raise CommandError(f"DEMO_UPSTREAMS names unknown upstreams: {', '.join(sorted(unknown))}")
    return given


def seed_upstream(known: DemoUpstream, where: Mapping[str, Any]) -> None:
    """Args: where: `base_url`, `api_key`, and optionally `models`."""
    base_url, api_key = str(where["base_url"]), str(where["api_key"])
    connection = Connection.objects.filter(org=None, slug=known.name.lower()).first()
    if connection is None:
        services.create_connection(
            None,
            SYSTEM,
            preset="custom",
            name=known.name,
            base_url=base_url,
            api_keys=[api_key],
            models=known.given_models(list(where.get("models") or known.models)),
            priority=known.priority,
            simulated=known.simulated,
        )
        return
    if connection.base_url != base_url:
        connection = services.update_connection(connection, SYSTEM, base_url=base_url).connection
    if api_key not in opened_keys(connection):
        for key in connection.keys.all():
            services.remove_key(key, SYSTEM)
        services.add_key(connection, SYSTEM, api_key)


@transaction.atomic
def seed_person(kept: Mapping[str, str]) -> dict[str, str]:
    """Makes what is missing.

    Args:
        kept: the demo.env of the last run.

    Returns:
        the demo.env of this one; the password is empty when the person has changed it since.
    """
    user, password = _user(kept.get("SHAREAI_PASSWORD", ""))
    organization = organization_of(user)
    return {
        "OPENAI_BASE_URL": f"{settings.PUBLIC_URL}/v1",
        "OPENAI_API_KEY": _key(organization, user, "Demo", INFERENCE, kept.get("OPENAI_API_KEY", "")),
        "SHAREAI_URL": settings.PUBLIC_URL,
        "SHAREAI_MANAGE_KEY": _key(organization, user, "Demo management", MANAGE, kept.get("SHAREAI_MANAGE_KEY", "")),
        "SHAREAI_EMAIL": EMAIL,
        "SHAREAI_PASSWORD": password,
    }


def organization_of(user: User) -> Organization:
    membership = Membership.objects.filter(user=user, org__deleted_at=None).select_related("org").first()
    return membership.org if membership else create_organization(user, ORGANIZATION)


def _user(kept_password: str) -> tuple[User, str]:
    user = User.objects.filter(email=EMAIL).first()
    if user is not None:
        return user, kept_password if kept_password and user.check_password(kept_password) else ""
    password = kept_password or secrets.token_urlsafe(12)
    user = User.objects.create_user(EMAIL, password, name="Demo")
    EmailAddress.objects.create(user=user, email=EMAIL, verified=True, primary=True)
    return user, password


def _key(organization: Organization, user: User, name: str, scope: str, kept: str) -> str:
    """The kept key while it is good, else a new one."""
    parts = apikeys.parse(kept)
    if parts is not None:
        row = active_keys(organization).filter(public_id=parts.public_id, scopes=[scope]).first()
        if row is not None and apikeys.matches(parts, bytes(row.secret_hash)):
            return kept
    return create_key(organization, SYSTEM, name=name, scopes=[scope], created_by=user).plain
