"""Use cases of nodes, shared by the pages and the management API.

Each takes the acting `Actor`, runs in one transaction, leaves an audit event, grows the version that the data plane
watches (the guests' as well), and announces what the holder of the node's socket must know. Getting a node in the
first place is in `nodes.enrolment`; what a node says of itself in `nodes.findings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts.audit import Actor
from accounts.audit_values import differences
from accounts.models import Organization
from nodes import changes, wishes
from nodes.errors import InvalidNode, NodeRevoked
from nodes.models import Node, NodeModel, NodeShare
from nodes.wishes import ModelWish

COMMUNITY_HANDLE = "community-"
"""Begins the short name by which others know a machine of the community; no owner's own name may."""

_SLUG_LENGTH = 40
_PRICES = ("input_price_nanos", "output_price_nanos", "price_tiers")


def nodes_of(org: Organization) -> QuerySet[Node]:
    """Those that were not removed, the revoked ones too."""
    nodes: QuerySet[Node] = Node.objects.of(org)
    return nodes.filter(removed_at=None).select_related("org")


def update_node(node: Node, actor: Actor, given: Mapping[str, Any]) -> Node:
    """Changes what is given.

    Args:
        given: as for `nodes.wishes.clean`. `models` names the models to change, others stay as they are;
            `shared_with` is the whole list of organisations.

    Raises:
        InvalidNode, NodeRevoked, NotPermitted, OrganizationGone.
    """
    wanted = wishes.clean(given)
    with _changing(node, actor) as row:
        before = changes.said_of(row) | {"models": changes.said_of_models(row), "shared_with": _guest_slugs(row)}
        for name, value in wanted.columns.items():
            setattr(row, name, value)
        row.save()
        if wanted.models is not None:
            _apply_models(row, wanted.models)
        if wanted.guests is not None:
            _apply_guests(row, wanted.guests)
        after = changes.said_of(row) | {"models": changes.said_of_models(row), "shared_with": _guest_slugs(row)}
        was, now = differences(before, after)
        if now:
            changes.record(row, actor, "node.updated", before=_told(was, now), after=_told(now, was))
    return row


def pause_node(node: Node, actor: Actor) -> Node:
    """It gets nothing new until it is resumed; what runs is finished."""
    return _set_intake(node, actor, "node.paused", paused=True, draining=False)


def drain_node(node: Node, actor: Actor) -> Node:
    """As `pause_node`, and its page tells when nothing runs any more, so that it can be switched off."""
    return _set_intake(node, actor, "node.drained", paused=True, draining=True)


def resume_node(node: Node, actor: Actor) -> Node:
    return _set_intake(node, actor, "node.resumed", paused=False, draining=False)


def revoke_node(node: Node, actor: Actor) -> Node:
    """Its key is worth nothing from now on, its socket is closed at once; once more changes nothing."""
    return _end(node, actor, removing=False)


def remove_node(node: Node, actor: Actor) -> Node:
    """Revokes it and takes it off every list."""
    return _end(node, actor, removing=True)


def free_slug(org: Organization, name: str) -> str:
    """For use inside `changing`: a short name that no other node of the organisation bears."""
    stem = slugify(name)[: _SLUG_LENGTH - 5].strip("-") or "node"
    if stem.startswith(COMMUNITY_HANDLE):
        stem = f"my-{stem}"[: _SLUG_LENGTH - 5]
    taken = set(nodes_of(org).filter(slug__startswith=stem).values_list("slug", flat=True))
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return stem if stem not in taken else next(slug for slug in numbered if slug not in taken)


def handle_of(node: Node) -> str:
    """By what organisations other than the owner know a node of the community: nothing tells whose it is."""
    return COMMUNITY_HANDLE + node.public_id[-8:]


@contextmanager
def _changing(node: Node, actor: Actor, *, revoked_too: bool = False) -> Iterator[Node]:
    """Yields the row as it is under the lock. Tells guests from before and after the change."""
    with changes.changing(node.org, actor) as held:
        row = Node.objects.select_related("org").get_of(held, pk=node.pk)
        if row.revoked_at is not None and not revoked_too:
            raise NodeRevoked
        guests = changes.guests_of(row)
        yield row
        changes.tell_guests(guests | changes.guests_of(row))
        if row.revoked_at is None:
            changes.announce_changed(row)


def _set_intake(node: Node, actor: Actor, action: str, *, paused: bool, draining: bool) -> Node:
    with _changing(node, actor) as row:
        if (row.paused, row.draining_since is not None) != (paused, draining):
            before = changes.said_of(row)
            row.paused = paused
            row.draining_since = timezone.now() if draining else None
            row.save(update_fields=["paused", "draining_since", "updated_at"])
            was, now = differences(before, changes.said_of(row))
            changes.record(row, actor, action, before=was, after=now)
    return row


def _end(node: Node, actor: Actor, *, removing: bool) -> Node:
    with _changing(node, actor, revoked_too=True) as row:
        if row.revoked_at is None:
            row.revoked_at = timezone.now()
            changes.record(row, actor, "node.revoked", before=changes.said_of(row))
        if removing and row.removed_at is None:
            row.removed_at = timezone.now()
            changes.record(row, actor, "node.removed", before={"name": row.name, "slug": row.slug})
        row.save(update_fields=["revoked_at", "removed_at", "updated_at"])
        changes.announce_revoked(row)
    return row


def _apply_models(node: Node, models: list[ModelWish]) -> None:
    rows = {row.upstream_id: row for row in node.served_models.all()}
    for index, wish in enumerate(models):
        row = rows.get(wish.upstream_id)
        if row is None:
            raise InvalidNode(
                f"models.{index}.upstream_id", _("This machine has no model “%(id)s”.") % {"id": wish.upstream_id}
            )
        _apply_model(row, wish)
    _check_names(rows.values(), models)
    # Two models may swap their names, so the old ones go first.
    node.served_models.filter(upstream_id__in=[wish.upstream_id for wish in models]).update(model_id=F("public_id"))
    for wish in models:
        rows[wish.upstream_id].save()


def _apply_model(row: NodeModel, wish: ModelWish) -> None:
    if wish.model_id is not None:
        row.model_id = wish.model_id
    if wish.advertised is not None:
        row.advertised = wish.advertised
    if wish.for_others is not None:
        row.for_others = wish.for_others
    prices = {name: value for name in _PRICES if (value := getattr(wish, name)) is not None}
    if any(getattr(row, name) != value for name, value in prices.items()):
        row.price_version += 1
        for name, value in prices.items():
            setattr(row, name, value)


def _check_names(rows: Any, models: list[ModelWish]) -> None:
    names = [row.model_id for row in rows]
    for index, wish in enumerate(models):
        if wish.model_id is not None and names.count(wish.model_id) > 1:
            raise InvalidNode(f"models.{index}.id", _("“%(id)s” is listed twice.") % {"id": wish.model_id})


def _apply_guests(node: Node, slugs: list[str]) -> None:
    found = dict(Organization.objects.filter(slug__in=slugs, deleted_at=None).values_list("slug", "pk"))
    for slug in slugs:
        if slug not in found or found[slug] == node.org_id:
            raise InvalidNode("shared_with", _("There is no other organisation “%(slug)s”.") % {"slug": slug})
    node.shares.exclude(guest_id__in=found.values()).delete()
    present = set(node.shares.values_list("guest_id", flat=True))
    NodeShare.objects.bulk_create(
        NodeShare(org=node.org, node=node, guest_id=guest) for guest in found.values() if guest not in present
    )


def _guest_slugs(node: Node) -> list[str]:
    return sorted(node.shares.values_list("guest__slug", flat=True))


def _told(side: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Of the models only those that changed."""
    if "models" not in side:
        return side
    models = {name: said for name, said in side["models"].items() if other.get("models", {}).get(name) != said}
    return side | {"models": models}
