"""Prepares a benchmark: organisations, keys, and three candidate targets for each public model.

Prints one JSON line, `{"api_key": …, "model": …, "models": {case: model}, "api_keys": {case: key}}`; a model
`bench-x` is for the case `x`, and `api_keys` names the cases that another key is for.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from accounts import limits
from accounts.audit import Actor
from accounts.authentication import INFERENCE
from accounts.keys import PlainKey, create_key
from accounts.models import Organization, User
from accounts.organizations import create_organization
from accounts.scopes import MONTHLY, ORGANISATION
from providers import services
from routing.cache_rules import MODEL
from routing.cache_services import put_policy

MODELS = ("bench-unary", "bench-stream", "bench-paced", "bench-cache_hit")
CACHED, KEPT_S = "bench-cache_hit", 3600
GOVERNED = "bench-governed"
TARGETS = 3
SYSTEM = Actor.system("bench")
PLENTY = 1_000_000_000
"""So much per minute that nothing is refused: each request is weighed all the same."""


class Command(BaseCommand):
    help = "Makes an organisation with a key and three targets per model, all at one upstream, and one with limits."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--upstream", required=True, help="base URL, such as http://127.0.0.1:9000/v1")
        parser.add_argument("--api-key", default="bench", help="the key that the upstream is sent")
        parser.add_argument("--models", nargs="+", default=list(MODELS))

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        models: list[str] = options["models"]
        organization, made = _organization("Bench", models, options)
        if CACHED in models:
            put_policy(organization, SYSTEM, scope=MODEL, subject=CACHED, ttl_s=KEPT_S)
        governed, under_limits = _organization("Bench governed", [GOVERNED], options)
        _govern(governed, under_limits)
        cases = {model.removeprefix("bench-"): model for model in [*models, GOVERNED]}
        seed = {
            "api_key": made.plain,
            "organization": organization.slug,
            "model": models[0],
            "models": cases,
            "api_keys": {"governed": under_limits.plain},
        }
        self.stdout.write(json.dumps(seed))


def _organization(name: str, models: Sequence[str], options: dict[str, Any]) -> tuple[Organization, PlainKey]:
    user = User.objects.create_user(f"bench-{secrets.token_hex(4)}@shareai.local")
    organization = create_organization(user, name)
    for number in range(1, TARGETS + 1):
        services.create_connection(
            organization,
            SYSTEM,
            preset="custom",
            name=f"Bench {number}",
            base_url=options["upstream"],
            api_keys=[options["api_key"]],
            models=[{"id": model, "input_price": f"0.{number}0", "output_price": f"0.{number}5"} for model in models],
        )
    return organization, create_key(organization, SYSTEM, name="Bench", scopes=[INFERENCE], created_by=user)


def _govern(organization: Organization, made: PlainKey) -> None:
    """Limits of the organisation, the member and the key, and a budget of money."""
    member = organization.memberships.get()
    budget = {"amount_usd": "1000000", "window": MONTHLY}
    wishes = {"rpm": PLENTY, "tpm": PLENTY, "budgets": [budget]}
    limits.set_limits(organization, SYSTEM, ORGANISATION, wishes=wishes)
    limits.set_member_limits(member, SYSTEM, {"rpm": PLENTY})
    limits.set_key_limits(made.key, SYSTEM, {"rpm": PLENTY, "concurrency": 1000})
