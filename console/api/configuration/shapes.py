"""The file's form: for each section what one entry may say. Most of it is what the management API takes."""

from __future__ import annotations

from rest_framework import serializers

from accounts import roles
from accounts.scopes import SCOPES
from console.api.cache import CachePolicyWishes
from console.api.earning_shapes import RecognitionWishes
from console.api.fields import Body, Text, Whole
from console.api.keys import KeyChanges
from console.api.limits import LimitWishes
from console.api.node_shapes import NodeChanges
from console.api.organization import OrganizationChanges
from console.api.programme_shapes import ProgrammeWishes
from console.api.provider_shapes import NewProvider
from console.api.routes import RouteWishes

FORMAT, VERSION = "shareai-configuration", 1
MOST_ENTRIES = 2000
_NO_KEYS = "How many keys it has. Keys themselves are never in the file."


class ProviderEntry(NewProvider):
    slug = Text(max_length=40, help_text="Its short name, by which routes know it.")
    keys = Whole(min_value=0, max_value=1000, default=0, help_text=_NO_KEYS)

    def get_fields(self) -> dict[str, serializers.Field]:  # type: ignore[type-arg]
        return {name: field for name, field in super().get_fields().items() if name != "api_keys"}


class NodeEntry(NodeChanges):
    slug = Text(max_length=60, help_text="The machine's short name.")


class RouteEntry(RouteWishes):
    """What a route falls back to stands in its tiers."""

    name = Text(max_length=200)

    def get_fields(self) -> dict[str, serializers.Field]:  # type: ignore[type-arg]
        return {name: field for name, field in super().get_fields().items() if name != "fallback"}


class CachePolicyEntry(CachePolicyWishes):
    """`subject` of a key is its name."""


class KeyEntry(KeyChanges):
    """Without its text and its limits, which are a section of their own."""

    def get_fields(self) -> dict[str, serializers.Field]:  # type: ignore[type-arg]
        return {name: field for name, field in super().get_fields().items() if name != "limits"}


class LimitEntry(LimitWishes):
    scope = serializers.ChoiceField(SCOPES)
    subject = Text(
        max_length=260,
        allow_blank=True,
        default="",
        help_text="A member's address, a key's, route's or model's name, a machine's short name.",
    )


class MemberEntry(Body):
    email = Text(max_length=254)
    role = serializers.ChoiceField(list(roles.ROLES))


class EarningsEntry(Body):
    programme = ProgrammeWishes()
    recognition = RecognitionWishes()


ENTRIES: dict[str, type[Body]] = {
    "settings": OrganizationChanges,
    "earnings": EarningsEntry,
    "members": MemberEntry,
    "providers": ProviderEntry,
    "nodes": NodeEntry,
    "routes": RouteEntry,
    "cache_policies": CachePolicyEntry,
    "keys": KeyEntry,
    "limits": LimitEntry,
}
"""In the order in which they are put in: what is named comes before what names it."""

SINGLE = frozenset({"settings", "earnings"})
"""Sections that are one entry and no list."""

PARTIAL = frozenset({"settings", "keys", "nodes"})
"""Sections whose entries change what they say and leave the rest."""


class Source(Body):
    """Of which organisation it is; for whoever reads the file."""

    slug = Text(max_length=80, required=False)
    name = Text(max_length=200, required=False)


class ConfigurationFile(Body):
    """The frame. Entries are looked at one by one, so that a mistake in one of them does not hide the others."""

    format = serializers.ChoiceField([FORMAT])
    version = Whole(min_value=1, max_value=VERSION)
    exported_at = Text(max_length=40, required=False)
    organization = Source(required=False)
    settings = serializers.JSONField(required=False)
    earnings = serializers.JSONField(required=False)
    members = serializers.ListField(child=serializers.JSONField(), required=False, max_length=MOST_ENTRIES)
    providers = serializers.ListField(child=serializers.JSONField(), required=False, max_length=MOST_ENTRIES)
    nodes = serializers.ListField(child=serializers.JSONField(), required=False, max_length=MOST_ENTRIES)
    routes = serializers.ListField(child=serializers.JSONField(), required=False, max_length=MOST_ENTRIES)
    cache_policies = serializers.ListField(child=serializers.JSONField(), required=False, max_length=MOST_ENTRIES)
    keys = serializers.ListField(child=serializers.JSONField(), required=False, max_length=MOST_ENTRIES)
    limits = serializers.ListField(child=serializers.JSONField(), required=False, max_length=MOST_ENTRIES)
