"""What an organisation has set, in the form of `shapes`. No secret is among it, and nothing that only happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import audit, limits, members
from accounts.audit import Actor
from accounts.authority import require
from accounts.key_lines import KeyLines
from accounts.keys import active_keys
from accounts.limits import KeyFigures
from accounts.models import ApiKey, Limit, Membership, Organization
from accounts.roles import Permission
from accounts.scopes import KEY, MEMBER, NODE
from accounts.subjects import label_of
from billing.earnings import programmes
from console.api.cache import CachePolicyShown
from console.api.configuration.shapes import ENTRIES, FORMAT, VERSION, NodeEntry, RouteEntry
from console.api.node_shapes import NodeModelShown
from console.api.organization import OrganizationChanges
from console.api.provider_shapes import ProviderModelShown
from console.api.routes import RouteShown, with_cache
from nodes import services as machines
from nodes.models import Node
from providers.keypool import NEEDS_KEY
from providers.models import Connection, ServedModel
from routing import cache_rules
from routing.models import CachePolicy

Entry = dict[str, Any]
_FROM_CATALOG = "catalog"
_PRICES_TOLD = ("price_source", "price_version")


def exported(organization: Organization, actor: Actor) -> Entry:
    """The whole file. The audit trail tells who took it. Raises: NotPermitted."""
    with transaction.atomic():
        require(organization, actor, Permission.MANAGE_ORGANIZATION)
        sections = {word: entries_of(organization, word) for word in ENTRIES}
        counted = {word: len(entries) for word, entries in sections.items() if isinstance(entries, list)}
        audit.record(
            organization,
            actor,
            "configuration.exported",
            "organization",
            organization.public_id,
            label=organization.name,
            after=counted,
        )
    return {
        "format": FORMAT,
        "version": VERSION,
        "exported_at": timezone.now().isoformat(timespec="seconds"),
        "organization": {"slug": organization.slug, "name": organization.name},
        **sections,
    }


def entries_of(organization: Organization, section: str) -> Any:
    return _SECTIONS[section](organization)


def _settings(organization: Organization) -> Entry:
    return {name: getattr(organization, name) for name in OrganizationChanges().get_fields() if name != "name"}


def _earnings(organization: Organization) -> Entry:
    row = programmes.programme_of(organization)
    programme: Entry = {"rewards": row.rewarded_percent, "exchange": row.exchanged_percent}
    if row.donated_percent:
        programme |= {"donated_percent": row.donated_percent, "causes": programmes.weights_of(row)}
    return {
        "programme": programme,
        "recognition": {"is_public": row.is_public, "public_name": row.public_name},
    }


def _members(organization: Organization) -> list[Entry]:
    rows: Iterable[Membership] = members.members_of(organization)
    return [{"email": row.user.email, "role": row.role} for row in rows]


def _providers(organization: Organization) -> list[Entry]:
    rows = Connection.objects.of(organization).prefetch_related("keys", "served_models").order_by("slug")
    return [_provider(row) for row in rows]


def _provider(row: Connection) -> Entry:
    names = ("slug", "name", "preset", "base_url", "priority", "enabled")
    models = sorted(row.served_models.all(), key=lambda model: model.model_id)
    return {
        **{name: getattr(row, name) for name in names},
        "options": {name: value for name, value in row.options.items() if name != NEEDS_KEY},
        "keys": len(row.keys.all()),
        "models": [_served(model) for model in models],
    }


def _served(model: ServedModel) -> Entry:
    """Prices of the catalogue are left to the catalogue; one's own are told."""
    shown = {name: value for name, value in ProviderModelShown(model).data.items() if name not in _PRICES_TOLD}
    if model.price_source != _FROM_CATALOG:
        return shown
    return {name: value for name, value in shown.items() if "price" not in name}


def _nodes(organization: Organization) -> list[Entry]:
    rows = machines.nodes_of(organization).filter(revoked_at=None).prefetch_related("served_models", "shares__guest")
    return [_node(row) for row in rows.order_by("slug")]


def _node(row: Node) -> Entry:
    names = (name for name in NodeEntry().get_fields() if name not in ("models", "shared_with"))
    told = ("upstream_id", "id", "advertised", "for_others", "input_price", "output_price")
    models = (NodeModelShown(model).data for model in sorted(row.served_models.all(), key=lambda it: it.upstream_id))
    return {
        **{name: getattr(row, name) for name in names},
        "shared_with": sorted(share.guest.slug for share in row.shares.all()),
        "models": [{name: model[name] for name in told} for model in models],
    }


def _routes(organization: Organization) -> list[Entry]:
    told = tuple(RouteEntry().get_fields())
    shown = (RouteShown(row).data for row in with_cache(organization).order_by("name"))
    return [{name: route[name] for name in told} for route in shown]


def _cache_policies(organization: Organization) -> list[Entry]:
    rows = CachePolicy.objects.of(organization).order_by("scope", "subject")
    names, lines = dict(ApiKey.objects.of(organization).values_list("public_id", "name")), KeyLines(organization.pk)
    told = ("scope", "subject", "ttl_s", "per_key", "semantic")
    entries = [
        {name: shown[name] for name in told}
        for shown in CachePolicyShown(rows, many=True, context={"lines": lines}).data
    ]
    for entry in entries:
        if entry["scope"] == cache_rules.KEY:
            entry["subject"] = names.get(entry["subject"], "")
    return [entry for entry in entries if entry["subject"] or entry["scope"] == cache_rules.ORGANIZATION]


def _keys(organization: Organization) -> list[Entry]:
    told = ("name", "scopes", "ip_allow", "tags", "logs_content")
    return [
        {name: getattr(row, name) for name in told}
        | {"models": row.allowed_models, "expires_at": row.expires_at.isoformat() if row.expires_at else None}
        for row in _lasting_keys(organization)
    ]


def _lasting_keys(organization: Organization) -> Iterable[ApiKey]:
    return active_keys(organization).filter(is_ephemeral=False).order_by("name", "pk")


def _limits(organization: Organization) -> list[Entry]:
    """A key's are told by the name of the key that bears them now; of whatever is gone none are."""
    rows = Limit.objects.of(organization).exclude(scope=KEY).prefetch_related("budgets").order_by("scope", "subject")
    slugs = dict(machines.nodes_of(organization).values_list("public_id", "slug"))
    found = [(row.scope, _subject(row, slugs), limits.figures_of(row)) for row in rows]
    figures = KeyFigures(organization)
    found += [(KEY, key.name, figures.of(key)) for key in _lasting_keys(organization)]
    told = {(scope, subject): said for scope, subject, said in found if said != limits.NONE}
    return [
        {"scope": scope, "subject": subject}
        | {name: value for name, value in said.items() if value not in (None, [])}
        for (scope, subject), said in told.items()
        if subject or scope not in (MEMBER, NODE)
    ]


def _subject(row: Limit, slugs: dict[str, str]) -> str:
    return slugs.get(row.subject, "") if row.scope == NODE else label_of(row)


_SECTIONS: dict[str, Callable[[Organization], Any]] = {
    "settings": _settings,
    "earnings": _earnings,
    "members": _members,
    "providers": _providers,
    "nodes": _nodes,
    "routes": _routes,
    "cache_policies": _cache_policies,
    "keys": _keys,
    "limits": _limits,
}
