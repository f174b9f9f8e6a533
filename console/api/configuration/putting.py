"""How an entry of each section is put in: by the use cases of the rooms below, which check who may and what is right.

Each returns what is to be done next, mostly nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import invitations, keys, limits, members, organizations
from accounts.audit import Actor
from accounts.models import ApiKey, Membership, Organization
from accounts.scopes import KEY, MEMBER, MODEL, NODE, ORGANISATION, ROUTE
from billing.earnings import programmes
from console.offers import served_models
from nodes import services as machines
from nodes.models import Node
from providers import services as connections
from providers.errors import InvalidConnection
from providers.models import Connection
from routing import cache_rules, cache_services
from routing import services as routes
from routing.models import Route

Entry = dict[str, Any]


class Skipped(Exception):
    """The entry speaks of something that is not here and that no file can make."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def _settings(organization: Organization, actor: Actor, entry: Entry) -> str:
    organizations.update_organization(organization, actor, **entry)
    return ""


def _earnings(organization: Organization, actor: Actor, entry: Entry) -> str:
    programmes.choose(organization, actor, entry["programme"])
    programmes.recognise(organization, actor, **entry["recognition"])
    return ""


def _member(organization: Organization, actor: Actor, entry: Entry) -> str:
    email, role = entry["email"].strip().lower(), entry["role"]
    membership = _membership(organization, email)
    if membership is not None:
        if (actor.type, actor.id) == ("user", str(membership.user_id)):
            raise Skipped(_("Your own role stays as it is."))
        members.change_role(membership, actor, role)
        return ""
    if invitations.open_invitations(organization).filter(email=email).exists():
        raise Skipped(_("An invitation to this address is open already."))
    invitations.invite(organization, actor, email=email, role=role)
    return _("Is invited by e-mail.")


def _provider(organization: Organization, actor: Actor, entry: Entry) -> str:
    slug, count, models = entry.pop("slug"), entry.pop("keys"), entry.pop("models")
    found = Connection.objects.of(organization).select_related("org").filter(slug=slug).first()
    if found is None:
        connections.create_connection(
            organization, actor, **entry, slug=slug, models=models, waits_for_key=bool(count)
        )
        return _("Enter its keys next: no file holds them.") if count else ""
    preset, enabled = entry.pop("preset"), entry.pop("enabled")
    if preset != found.preset:
        raise InvalidConnection("preset", _("A provider of this short name is here, of another kind."))
    updated = connections.update_connection(found, actor, **entry)
    connections.set_models(found, actor, models)
    (connections.enable_connection if enabled else connections.disable_connection)(found, actor)
    if updated.keys_cleared:
        return _("Its address is another one, so its stored keys are forgotten. Enter them anew.")
    return _("Enter its keys next: no file holds them.") if count and not found.keys.exists() else ""


def _node(organization: Organization, actor: Actor, entry: Entry) -> str:
    node = _machine(organization, entry.pop("slug"))
    wanted = entry.pop("models", [])
    known = set(node.served_models.values_list("upstream_id", flat=True))
    models = [model for model in wanted if model.get("upstream_id") in known]
    machines.update_node(node, actor, entry | ({"models": models} if models else {}))
    missing = [model["upstream_id"] for model in wanted if model not in models]
    return _("It does not have: %(models)s.") % {"models": ", ".join(missing)} if missing else ""


def _route(organization: Organization, actor: Actor, entry: Entry) -> str:
    routes.put_route(organization, actor, entry.pop("name"), entry)
    return ""


def _cache_policy(organization: Organization, actor: Actor, entry: Entry) -> str:
    if entry["scope"] == cache_rules.KEY:
        entry["subject"] = _key_named(organization, entry["subject"]).public_id
    cache_services.put_policy(organization, actor, **entry)
    return ""


def _key(organization: Organization, actor: Actor, entry: Entry) -> str:
    key = _key_named(organization, entry["name"])
    if "models" in entry:
        entry["allowed_models"] = entry.pop("models")
    keys.update_key(key, actor, **entry)
    return ""


def _limit(organization: Organization, actor: Actor, entry: Entry) -> str:
    scope, subject = entry.pop("scope"), entry.pop("subject")
    if scope == MEMBER:
        membership = _membership(organization, subject)
        if membership is None:
            raise Skipped(_("Nobody of this address is a member here yet."))
        limits.set_member_limits(membership, actor, entry)
    elif scope == KEY:
        limits.set_key_limits(_key_named(organization, subject), actor, entry)
    elif scope == NODE:
        node = _machine(organization, subject)
        limits.set_limits(organization, actor, NODE, node.public_id, wishes=entry, label=node.name)
    else:
        _require_subject(organization, scope, subject)
        limits.set_limits(organization, actor, scope, subject, wishes=entry)
    return ""


def _require_subject(organization: Organization, scope: str, subject: str) -> None:
    if scope == ORGANISATION and subject:
        raise Skipped(_("The organisation's limits are for everything."))
    if scope == ROUTE and not Route.objects.of(organization).filter(name=subject).exists():
        raise Skipped(_("There is no route of this name here."))
    if scope == MODEL and subject not in served_models(organization):
        raise Skipped(_("Nobody serves this model here."))


def _membership(organization: Organization, email: str) -> Membership | None:
    return members.members_of(organization).select_related("user", "org").filter(user__email__iexact=email).first()


def _machine(organization: Organization, slug: str) -> Node:
    node = machines.nodes_of(organization).filter(slug=slug, revoked_at=None).first()
    if node is None:
        raise Skipped(_("No machine has this short name here. Enrol it under this name, then import again."))
    return node


def _key_named(organization: Organization, name: str) -> ApiKey:
    found: QuerySet[ApiKey] = keys.active_keys(organization).filter(name=name, is_ephemeral=False)
    rows = list(found.select_related("org", "replaces")[:2])
    if not rows:
        raise Skipped(_("No key has this name here. Create one of this name, then import again."))
    if len(rows) > 1:
        raise Skipped(_("Several keys have this name here. Rename all but one, then import again."))
    return rows[0]


PUT: dict[str, Callable[[Organization, Actor, Entry], str]] = {
    "settings": _settings,
    "earnings": _earnings,
    "members": _member,
    "providers": _provider,
    "nodes": _node,
    "routes": _route,
    "cache_policies": _cache_policy,
    "keys": _key,
    "limits": _limit,
}
