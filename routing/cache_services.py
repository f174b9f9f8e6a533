"""Use cases of the cache: say what is kept and for how long, stop that, throw away what is kept.

Shared by pages and the management API. No policy keeps anything by itself: without one the cache is off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import F
from django.utils.translation import gettext as _

from accounts.audit import Actor, record
from accounts.authority import authority_of
from accounts.changes import changing
from accounts.errors import InvalidField
from accounts.key_lines import KeyLines
from accounts.models import ApiKey, Organization
from accounts.roles import Permission
from common.ids import new_id
from common.numbers import is_number, is_whole
from routing.cache_rules import KEY, LONGEST_TTL_S, MODEL, ORGANIZATION, ROUTE, SCOPES
from routing.embedding_models import require_embedding
from routing.models import CachePolicy, CachePurge, Route

USUAL_THRESHOLD, LEAST_THRESHOLD = 0.95, 0.5


def put_policy(
    organization: Organization,
    actor: Actor,
    *,
    scope: str,
    subject: str = "",
    ttl_s: int,
    per_key: bool = False,
    semantic: Mapping[str, Any] | None = None,
) -> CachePolicy:
    """Makes the policy of this scope and subject, or replaces it.

    Args:
        subject: the route's or model's name; the public id of a key, for all of its line; nothing for the
            organisation.
        ttl_s: 0 keeps nothing, whatever a wider policy says.
        semantic: of a route alone: `{"model", "threshold"}`, by whose embeddings and from which cosine on a question
            counts as the same. Somebody has to serve such a model.

    Raises:
        NotPermitted: the actor may not manage routes.
        InvalidField: naming the field.
    """
    ttl_s = _ttl_s(ttl_s)
    semantic = _semantic(semantic, scope)
    with changing(organization):
        authority_of(organization, actor).require(Permission.MANAGE_ROUTES)
        subject = _subject(organization, scope, subject)
        policy = _found(organization, actor, scope, subject)
        before = described(policy) if policy else None
        if semantic is not None and semantic["model"] != _compares_by(before):
            require_embedding(organization, semantic["model"])
        policy = policy or CachePolicy(org=organization, public_id=new_id("cpol"), scope=scope)
        policy.subject, policy.ttl_s, policy.per_key, policy.semantic = subject, ttl_s, per_key, semantic
        if before != described(policy):
            policy.save()
            action = "cache_policy.updated" if before else "cache_policy.created"
            _note(organization, actor, action, policy, before=before, after=described(policy))
    return policy


def delete_policy(policy: CachePolicy, actor: Actor) -> None:
    organization = policy.org
    with changing(organization):
        authority_of(organization, actor).require(Permission.MANAGE_ROUTES)
        _note(organization, actor, "cache_policy.deleted", policy, before=described(policy))
        policy.delete()


def set_route_ttl(organization: Organization, actor: Actor, route: str, ttl_s: int | None) -> None:
    """The cache of a route as its own definition says it: None takes the route's policy away."""
    if ttl_s is not None:
        found = find_route_policy(organization, route)
        put_policy(
            organization,
            actor,
            scope=ROUTE,
            subject=route,
            ttl_s=ttl_s,
            per_key=found.per_key if found else False,
            semantic=found.semantic if found else None,
        )
    elif (policy := find_route_policy(organization, route)) is not None:
        delete_policy(policy, actor)


def find_route_policy(organization: Organization, route: str) -> CachePolicy | None:
    policies = CachePolicy.objects.of(organization).select_related("org")
    return policies.filter(scope=ROUTE, subject=route).first()


def purge(organization: Organization, actor: Actor, name: str = "") -> CachePurge:
    """Throws away what is kept of a route or model, or of everything. No process gives it from the moment on at
    which it knows, which is within a second; the bytes go when their time is over."""
    name = name.strip()
    if len(name) > 200:
        raise InvalidField.one("name", _("Use a name of at most 200 characters."))
    with changing(organization):
        authority_of(organization, actor).require(Permission.MANAGE_ROUTES)
        purge, _made = CachePurge.objects.get_or_create(org=organization, name=name)
        CachePurge.objects.filter(pk=purge.pk).update(count=F("count") + 1)
        purge.refresh_from_db()
        purge.save(update_fields=["purged_at"])
        after = {"name": name, "count": purge.count}
        record(organization, actor, "cache.purged", "cache", organization.public_id, label=name, after=after)
    return purge


def described(policy: CachePolicy) -> dict[str, Any]:
    return {
        "scope": policy.scope,
        "subject": policy.subject,
        "ttl_s": policy.ttl_s,
        "per_key": policy.per_key,
        "semantic": policy.semantic,
    }


def _found(organization: Organization, actor: Actor, scope: str, subject: str) -> CachePolicy | None:
    """A line of keys has one policy: of several, made for each of them, the newest key's stays."""
    policies = CachePolicy.objects.of(organization).select_related("org").filter(scope=scope)
    if scope != KEY:
        return policies.filter(subject=subject).first()
    line = KeyLines(organization.pk).of(subject)
    found = sorted(policies.filter(subject__in=line), key=lambda policy: line.index(policy.subject))
    for other in found[:-1]:
        delete_policy(other, actor)
    return found[-1] if found else None


def _compares_by(before: Mapping[str, Any] | None) -> str | None:
    """What stands there stays, also while nobody serves it: then nothing is compared."""
    return before["semantic"]["model"] if before is not None and before["semantic"] else None


def _note(organization: Organization, actor: Actor, action: str, policy: CachePolicy, **change: Any) -> None:
    label = policy.subject or policy.scope
    record(organization, actor, action, "cache_policy", policy.public_id, label=label, **change)


def _ttl_s(ttl_s: Any) -> int:
    if not is_whole(ttl_s, 0, LONGEST_TTL_S):
        raise InvalidField.one("ttl_s", _("Use whole seconds from 0 to %(most)d.") % {"most": LONGEST_TTL_S})
    return ttl_s


def _semantic(given: Mapping[str, Any] | None, scope: str) -> dict[str, Any] | None:
    if given is None:
        return None
    if scope != ROUTE:
        raise InvalidField.one("semantic", _("Only the policy of a route answers what means the same."))
    model, threshold = given.get("model"), given.get("threshold", USUAL_THRESHOLD)
    if not isinstance(model, str) or not model.strip() or len(model) > 260:
        raise InvalidField.one("semantic", _("Name the embedding model that compares questions."))
    if not is_number(threshold) or not LEAST_THRESHOLD <= threshold <= 1:
        raise InvalidField.one("semantic", _("The threshold is a number from %(least)s to 1.") % {"least": "0.5"})
    return {"model": model.strip(), "threshold": float(threshold)}


def _subject(organization: Organization, scope: str, subject: str) -> str:
    subject = subject.strip()
    if scope not in SCOPES:
        raise InvalidField.one("scope", _("Choose one of: %(names)s.") % {"names": ", ".join(SCOPES)})
    if scope == ORGANIZATION:
        if subject:
            raise InvalidField.one("subject", _("The organisation's policy is for everything."))
        return ""
    if not subject or len(subject) > 260:
        raise InvalidField.one("subject", _("Say for what."))
    if scope == ROUTE and not Route.objects.of(organization).filter(name=subject).exists():
        raise InvalidField.one("subject", _("There is no route of this name."))
    if scope == KEY:
        if not ApiKey.objects.of(organization).filter(public_id=subject).exists():
            raise InvalidField.one("subject", _("There is no such key."))
        return KeyLines(organization.pk).newest(subject)
    if scope == MODEL and any(character.isspace() for character in subject):
        raise InvalidField.one("subject", _("A model's name has no spaces."))
    return subject
