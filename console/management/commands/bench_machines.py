"""Adds machines to a benchmark's organisation, all with one key pair; prints {"nodes": [public ids]}."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from accounts.models import Organization
from common.ids import new_id
from nodes.models import Node, NodeModel

MODEL = "bench-tunnel"


class Command(BaseCommand):
    help = "Makes machines of an organisation; the first one serves the model bench-tunnel."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, help="its short name")
        parser.add_argument("--machines", type=int, required=True)
        parser.add_argument("--key", required=True, help="the public key, 32 bytes in hexadecimal")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        org = Organization.objects.get(slug=options["organization"])
        key = bytes.fromhex(options["key"])
        made = Node.objects.bulk_create(
            Node(
                org=org,
                public_id=new_id("node"),
                slug=f"bench-{number}",
                name=f"Bench {number}",
                public_key=key,
                version="0.1.0",
                os="linux",
                max_concurrent=256,
                advertise_new=False,
            )
            for number in range(options["machines"])
        )
        NodeModel.objects.create(
            org=org,
            node=made[0],
            public_id=new_id("nmod"),
            upstream_id=MODEL,
            model_id=MODEL,
            runtime="openai",
            trial_ok=True,
        )
        self.stdout.write(json.dumps({"nodes": [node.public_id for node in made]}))
