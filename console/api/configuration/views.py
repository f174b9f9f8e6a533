"""`/config`: what an organisation has set as one file, taken out and put in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.configuration.exporting import exported
from console.api.configuration.importing import OUTCOMES, Report, put_in, read_file
from console.api.configuration.shapes import ENTRIES, FORMAT, VERSION
from console.api.fields import Body, Flag, Kind, Shown
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described


class ConfigurationShown(Shown):
    format = serializers.ChoiceField([FORMAT])
    version = serializers.IntegerField()
    exported_at = serializers.CharField()
    organization = serializers.DictField(child=serializers.CharField(), help_text="Whose it is: slug and name.")
    settings = serializers.JSONField(help_text="As in the answer of `/organization`.")
    earnings = serializers.JSONField(help_text="Programme and recognition.")
    members = serializers.ListField(child=serializers.JSONField(), help_text="Address and role of each.")
    providers = serializers.ListField(child=serializers.JSONField(), help_text="With models and own prices, no keys.")
    nodes = serializers.ListField(child=serializers.JSONField(), help_text="What can be set of each machine.")
    routes = serializers.ListField(child=serializers.JSONField(), help_text="As published.")
    cache_policies = serializers.ListField(child=serializers.JSONField())
    keys = serializers.ListField(child=serializers.JSONField(), help_text="What API keys may do, not their text.")
    limits = serializers.ListField(child=serializers.JSONField(), help_text="Limits and budgets of each scope.")


class ImportWishes(Body):
    configuration = serializers.DictField(help_text="As `GET /config` answers. Sections may be left out.")
    sections = serializers.ListField(
        child=serializers.ChoiceField(list(ENTRIES)),
        required=False,
        help_text="Which sections count; all by default. Unknown members are invited by e-mail.",
    )
    dry_run = Flag(default=False, help_text="true: nothing is changed, and the answer tells what would be.")

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """A bare file stands for the wish to import it."""
        is_file = isinstance(data, Mapping) and "format" in data and "configuration" not in data
        return super().to_internal_value({"configuration": data} if is_file else data)


class ImportLineShown(Shown):
    section = serializers.ChoiceField(list(ENTRIES))
    name = serializers.CharField(allow_blank=True)
    outcome = serializers.ChoiceField(list(OUTCOMES))
    note = serializers.CharField(allow_blank=True, help_text="Why it was left out, or what is to be done next.")


class ImportShown(Shown):
    object = Kind("configuration_import")
    dry_run = serializers.BooleanField()
    counts = serializers.DictField(child=serializers.IntegerField(), help_text=", ".join(OUTCOMES))
    lines = ImportLineShown(many=True)


class ConfigurationView(ResourceView):
    tag = "Organisation"
    needs = {"GET": (Permission.MANAGE_ORGANIZATION,), "POST": (Permission.MANAGE_ORGANIZATION,)}
    proof = frozenset({"POST"})

    @described("exportConfiguration", "Export the configuration", answer=ConfigurationShown)
    def get(self, request: Request) -> Response:
        """All that is set, without secrets: no provider's keys, no API keys."""
        return Response(exported(self.organization, self.actor))

    @described(
        "importConfiguration",
        "Import a configuration",
        body=ImportWishes,
        answer=ImportShown,
        sent={
            "dry_run": True,
            "configuration": {
                "format": FORMAT,
                "version": VERSION,
                "limits": [{"scope": "organisation", "rpm": 600}],
            },
        },
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Makes and changes what the file says, entry by entry, and removes nothing. Machines, API keys and members'
        limits are matched by name: what is not there is skipped, and the line says what to do.

        The exported file as it is, sent as the whole body, is taken too: all of its sections count."""
        wishes = self.read(ImportWishes)
        file = read_file(wishes["configuration"])
        sections = wishes.get("sections", ENTRIES)
        report: Report = put_in(self.organization, self.actor, file, sections, dry_run=wishes["dry_run"])
        return Response(ImportShown(report).data)
