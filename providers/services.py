"""Use cases of connections, shared by the pages and the management API.

Each takes the acting `Actor`, runs in one transaction, leaves an audit event without secrets, and bumps the
version that the data plane watches. What is wrong with the input is an `InvalidConnection` naming the field. Keys
are in `providers.keypool`, models in `providers.serving`; both are offered from here as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts.audit import Actor
from accounts.audit_values import differences
from accounts.models import Organization
from common.ids import new_id
from providers import changes, drafts
from providers.dialling import check_base_url
from providers.errors import InvalidConnection
from providers.keypool import (
    NEEDS_KEY,
    add_key,
    clear_keys,
    park_key,
    remove_key,
    store_keys,
    unpark_key,
)
from providers.models import Connection, ServedModel
from providers.serving import catalog_prices, set_models, store_models, update_model

__all__ = [
    "Loss",
    "Updated",
    "add_key",
    "create_connection",
    "delete_connection",
    "disable_connection",
    "enable_connection",
    "loss_without",
    "park_key",
    "remove_key",
    "set_models",
    "unpark_key",
    "update_connection",
    "update_model",
]

_SLUG_LENGTH = 40
_RESERVED_SLUGS = frozenset({"node"})
_MOST_PRIORITY = 10_000


@dataclass(frozen=True, slots=True)
class Updated:
    """`keys_cleared` is how many stored keys were forgotten because the origin changed."""

    connection: Connection
    keys_cleared: int = 0


@dataclass(frozen=True, slots=True)
class Loss:
    """What is gone without a connection: target names (routes use them), and models that nothing else serves."""

    targets: tuple[str, ...]
    models: tuple[str, ...]


def create_connection(
    org: Organization | None,
    actor: Actor,
    *,
    preset: str,
    name: str,
    base_url: str | None = None,
    api_keys: Iterable[str] = (),
    models: Iterable[Mapping[str, Any]] | None = None,
    priority: Any = 100,
    simulated: bool = False,
    options: Mapping[str, Any] | None = None,
    enabled: bool = True,
    slug: str = "",
    waits_for_key: bool = False,
) -> Connection:
    """
    Args:
        org: None makes it the platform's, for every organisation.
        slug: the short name that it must have; by default a free one is made of its name.
        waits_for_key: it must not be called before it has a key.
        base_url: may be left out where the preset has one.
        models: as for `set_models`; None for none yet.
        options: `auth_header`, `api_version`.

    Raises:
        InvalidConnection: naming the field.
    """
    chosen = drafts.preset_named(preset)
    connection = Connection(
        org=org,
        public_id=new_id("conn"),
        name=drafts.clean_name(name),
        preset=chosen.id,
        adapter=chosen.adapter,
        base_url=drafts.clean_base_url(chosen, base_url),
        priority=drafts.clean_count(priority, "priority", _MOST_PRIORITY) or 100,
        enabled=enabled,
        simulated=simulated,
        options=drafts.clean_options(options),
    )
    keys, wanted = drafts.clean_keys(api_keys), drafts.clean_models(models or ())
    if waits_for_key and not keys:
        connection.options[NEEDS_KEY] = True
    check_base_url(chosen, connection.base_url)
    listed = catalog_prices(chosen.id, wanted)
    with changes.changing(org, actor):
        connection.slug = _free_slug(org, slug or connection.name, chosen.id)
        if slug and connection.slug != slug:
            raise InvalidConnection("slug", _("“%(slug)s” cannot be its short name here.") % {"slug": slug})
        connection.save(force_insert=True)
        stored = store_keys(connection, keys) if keys else []
        served = store_models(connection, wanted, listed)
        after = changes.said_of(connection) | {
            "keys": [changes.said_of_key(key) for key in stored],
            "models": changes.said_of_models(served),
        }
        changes.record(connection, actor, "connection.created", after=after)
    return connection


def update_connection(
    connection: Connection,
    actor: Actor,
    *,
    name: str | None = None,
    base_url: str | None = None,
    priority: Any = None,
    options: Mapping[str, Any] | None = None,
    api_keys: Iterable[str] = (),
) -> Updated:
    """Changes what is given. Keys never follow to another origin: they are forgotten, and `api_keys` added after."""
    preset = drafts.preset_named(connection.preset)
    url = connection.base_url if base_url is None else drafts.clean_base_url(preset, base_url)
    if url != connection.base_url:
        check_base_url(preset, url)
    keys = drafts.clean_keys(api_keys)
    with changes.changing(connection.org, actor):
        row = Connection.objects.get(pk=connection.pk)
        before = changes.said_of(row)
        cleared = clear_keys(row) if drafts.origin_of(url) != drafts.origin_of(row.base_url) else 0
        row.base_url = url
        row.name = row.name if name is None else drafts.clean_name(name)
        row.priority = drafts.clean_count(priority, "priority", _MOST_PRIORITY) or row.priority
        if options is not None:
            row.options = _own_marks(row) | drafts.clean_options(options)
        row.save()
        stored = store_keys(row, keys) if keys else []
        was, now = differences(before, changes.said_of(row))
        if cleared or stored:
            was, now = was | {"keys_cleared": cleared}, now | {"keys_added": [key.public_id for key in stored]}
        if now:
            changes.record(row, actor, "connection.updated", before=was, after=now)
    return Updated(row, cleared)


def delete_connection(connection: Connection, actor: Actor) -> Loss:
    with changes.changing(connection.org, actor):
        row = Connection.objects.get(pk=connection.pk)
        loss = loss_without(row)
        said = changes.said_of(row) | {"targets": list(loss.targets)}
        row.delete()
        changes.record(row, actor, "connection.deleted", before=said)
    return loss


def loss_without(connection: Connection) -> Loss:
    """What deleting or disabling would take away; for the question before it."""
    ids = list(connection.served_models.filter(enabled=True).values_list("model_id", flat=True))
    near = Q(org=None) if connection.org_id is None else Q(org=None) | Q(org=connection.org_id)
    elsewhere = set(
        ServedModel.objects.filter(near, enabled=True, connection__enabled=True, model_id__in=ids)
        .exclude(connection=connection)
        .values_list("model_id", flat=True)
    )
    return Loss(
        targets=tuple(f"{connection.slug}/{model_id}" for model_id in ids),
        models=tuple(model_id for model_id in ids if model_id not in elsewhere),
    )


def enable_connection(connection: Connection, actor: Actor) -> bool:
    return _switch(connection, actor, True)


def disable_connection(connection: Connection, actor: Actor) -> bool:
    return _switch(connection, actor, False)


def _switch(connection: Connection, actor: Actor, enabled: bool) -> bool:
    action = "connection.enabled" if enabled else "connection.disabled"
    with changes.changing(connection.org, actor):
        switched = Connection.objects.filter(pk=connection.pk, enabled=not enabled).update(enabled=enabled)
        if switched:
            changes.record(connection, actor, action, before={"enabled": not enabled}, after={"enabled": enabled})
    connection.enabled = enabled
    return bool(switched)


def _own_marks(connection: Connection) -> dict[str, Any]:
    return {name: value for name, value in connection.options.items() if name == NEEDS_KEY}


def _free_slug(org: Organization | None, name: str, fallback: str) -> str:
    """A short name that no connection in sight bears: target names begin with it."""
    stem = slugify(name)[: _SLUG_LENGTH - 4].strip("-") or fallback
    in_sight = Connection.objects.all() if org is None else Connection.objects.filter(Q(org=None) | Q(org=org))
    taken = set(in_sight.filter(slug__startswith=stem).values_list("slug", flat=True)) | _RESERVED_SLUGS
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return stem if stem not in taken else next(slug for slug in numbered if slug not in taken)
