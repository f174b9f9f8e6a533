"""What every change of a connection does besides the change: who may, the audit trail, word to the data plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from typing import Any

from django.db import connection as database
from django.db import transaction
from django.db.models import F

from accounts import audit, authority, events
from accounts.audit import Actor
from accounts.changes import changing as changing_organization
from accounts.errors import NotPermitted
from accounts.models import Organization, User
from accounts.roles import Permission
from common.numbers import plain
from providers.models import Connection, ConnectionKey, ServedModel
from providers.tiers import KIND_PRICES

_PLATFORM_LOCK = 7_165_001


def changing(org: Organization | None, actor: Actor) -> AbstractContextManager[None]:
    """The transaction of a change, one at a time per organisation.

    Raises:
        NotPermitted: the actor's role does not allow it; on the platform's own connections only staff may.
    """
    return _changing_platform(actor) if org is None else _changing_own(org, actor)


@contextmanager
def _changing_own(org: Organization, actor: Actor) -> Iterator[None]:
    with changing_organization(org) as held:
        authority.require(held, actor, Permission.MANAGE_PROVIDERS)
        yield


@contextmanager
def _changing_platform(actor: Actor) -> Iterator[None]:
    if not _is_operator(actor):
        raise NotPermitted(Permission.MANAGE_PROVIDERS)
    with transaction.atomic():
        with database.cursor() as cursor:
            # Two of these at once could lock the organisations' rows in different orders.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_PLATFORM_LOCK])
        yield


def _bump_everybody() -> None:
    Organization.objects.update(version=F("version") + 1)
    transaction.on_commit(lambda: events.publish(events.PLATFORM))


def _is_operator(actor: Actor) -> bool:
    if actor.type == "user":
        return User.objects.filter(pk=int(actor.id), is_staff=True, is_active=True).exists()
    return actor.type == "system"


def record(
    connection: Connection,
    actor: Actor,
    action: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Writes the audit event; call inside `changing`.

    A connection of the platform is of the operator's trail, and the version of every organisation grows.
    """
    if connection.org is None:
        _bump_everybody()
    audit.record(
        connection.org,
        actor,
        action,
        "connection",
        connection.public_id,
        label=connection.name,
        before=before,
        after=after,
    )


def said_of(connection: Connection) -> dict[str, Any]:
    return {
        "name": connection.name,
        "slug": connection.slug,
        "preset": connection.preset,
        "base_url": connection.base_url,
        "priority": connection.priority,
        "enabled": connection.enabled,
        "simulated": connection.simulated,
        "options": dict(connection.options),
    }


def said_of_key(key: ConnectionKey) -> dict[str, Any]:
    return {
        "key": key.public_id,
        "label": key.label,
        "hint": key.hint,
        "origin": key.origin,
        "weight": key.weight,
        "state": key.state,
        "reason": key.state_reason,
    }


def said_of_model(model: ServedModel) -> dict[str, Any]:
    return {
        "model": model.model_id,
        "upstream": model.upstream_id,
        "kind": model.kind,
        "enabled": model.enabled,
        "weight": model.weight,
        "input_price": _said(model.input_price),
        "cached_input_price": _said(model.cached_input_price),
        "output_price": _said(model.output_price),
        "request_price": _said(model.request_price),
        **{name: _said(getattr(model, name)) for name in KIND_PRICES},
        "price_tiers": [dict(tier) for tier in model.price_tiers],
        "price_source": model.price_source,
        "price_version": model.price_version,
        "context_size": model.context_tokens,
        "most_output": model.max_output_tokens,
        "capabilities": list(model.capabilities),
    }


def said_of_models(models: list[ServedModel]) -> dict[str, Any]:
    return {model.model_id: said_of_model(model) for model in models}


def _said(price: Decimal | None) -> str | None:
    """Alike for 7 that was typed and 7.000000 that is kept: saying a price once more changes nothing."""
    return None if price is None else plain(price)
