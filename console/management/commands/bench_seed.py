"""Prepares a benchmark: an organisation, a key, and three candidate targets for each public model.

Prints one JSON line, `{"api_key": …, "model": …, "models": {case: model}}`; a model `bench-x` is for the case `x`.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from accounts.audit import Actor
from accounts.authentication import INFERENCE
from accounts.keys import create_key
from accounts.models import User
from accounts.organizations import create_organization
from providers import services
from routing.cache_rules import MODEL
from routing.cache_services import put_policy

MODELS = ("bench-unary", "bench-stream", "bench-paced", "bench-cache_hit")
CACHED, KEPT_S = "bench-cache_hit", 3600
TARGETS = 3
SYSTEM = Actor.system("bench")


class Command(BaseCommand):
    help = "Makes an organisation with a key and three targets per model, all at one upstream."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--upstream", required=True, help="base URL, such as http://127.0.0.1:9000/v1")
        parser.add_argument("--api-key", default="bench", help="the key that the upstream is sent")
        parser.add_argument("--models", nargs="+", default=list(MODELS))

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        models: list[str] = options["models"]
        user = User.objects.create_user(f"bench-{secrets.token_hex(4)}@shareai.local")
        organization = create_organization(user, "Bench")
        for number in range(1, TARGETS + 1):
            services.create_connection(
                organization,
                SYSTEM,
                preset="custom",
                name=f"Bench {number}",
                base_url=options["upstream"],
                api_keys=[options["api_key"]],
                models=[
                    {"id": model, "input_price": f"0.{number}0", "output_price": f"0.{number}5"} for model in models
                ],
            )
        made = create_key(organization, SYSTEM, name="Bench", scopes=[INFERENCE], created_by=user)
        if CACHED in models:
            put_policy(organization, SYSTEM, scope=MODEL, subject=CACHED, ttl_s=KEPT_S)
        cases = {model.removeprefix("bench-"): model for model in models}
        self.stdout.write(
            json.dumps(
                {"api_key": made.plain, "organization": organization.slug, "model": models[0], "models": cases}
            )
        )
