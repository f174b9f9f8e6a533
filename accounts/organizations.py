"""Use cases of an organisation: found it, change its settings, delete it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any
from zoneinfo import available_timezones

from django.db import IntegrityError, transaction
from django.dispatch import Signal
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts import audit, authority, events, roles
from accounts.changes import changing
from accounts.errors import InvalidField
from accounts.fields import cleaned_model_names, cleaned_name, require_typed_name
from accounts.models import Membership, Organization, User
from accounts.scopes import SPENDING_ORDERS
from common.ids import new_id

created = Signal()
"""Sent with `organization` and `user` inside the transaction that makes it."""
STRATEGIES = ("priority", "cheapest", "fastest", "weighted", "least_busy", "round_robin", "sticky")
LONGEST_RETENTION_DAYS = 400
LONGEST_NAME = 120
RESERVED_SLUGS = frozenset({"admin", "api", "local", "new", "node", "platform", "private", "shareai", "staff"})
_LONGEST_SLUG_STEM = 50
_SLUG_TRIES = 10


def create_organization(user: User, name: str, actor: audit.Actor | None = None) -> Organization:
    """A new organisation with the user as its owner. Raises: InvalidField."""
    name = cleaned_name(name, longest=LONGEST_NAME)
    actor = actor or audit.Actor.of_user(user)
    with transaction.atomic():
        organization = _insert(name)
        Membership.objects.create(org=organization, user=user, role=roles.OWNER)
        audit.record(
            organization,
            actor,
            "organization.created",
            "organization",
            organization.public_id,
            label=name,
            after={"name": name, "slug": organization.slug, "owner": user.email},
        )
        events.bump(organization)
        created.send(Organization, organization=organization, user=user)
    return organization


def update_organization(organization: Organization, actor: audit.Actor, **settings: Any) -> Organization:
    """Changes what is given of `name`, `time_zone`, `default_strategy`, `log_content`, `retention_days`,
    `content_days`, `uses_community_nodes`, and of what `set_spending` changes.

    Raises:
        NotPermitted, InvalidField, OrganizationGone.
    """
    return _change(organization, actor, roles.Permission.MANAGE_ORGANIZATION, settings)


def set_spending(organization: Organization, actor: audit.Actor, **settings: Any) -> Organization:
    """Changes what is given of `spending_order`, `credit_backup` and `credit_backup_unlike`.

    That is: which of credits and tokens pay first for what others serve, whether credits pay when tokens are used up,
    and for which models it is the other way round.

    Raises:
        NotPermitted, InvalidField, OrganizationGone.
    """
    if unknown := settings.keys() - _SPENDING:
        raise TypeError(f"spending has no settings {sorted(unknown)}")
    return _change(organization, actor, roles.Permission.MANAGE_BILLING, settings)


def _change(
    organization: Organization, actor: audit.Actor, permission: roles.Permission, settings: dict[str, Any]
) -> Organization:
    with changing(organization) as held:
        authority.require(held, actor, permission)
        wanted = _cleaned(settings)
        before = {name: getattr(held, name) for name, value in wanted.items() if getattr(held, name) != value}
        if not before:
            return held
        for name in before:
            setattr(held, name, wanted[name])
        held.save(update_fields=[*before])
        after = {name: wanted[name] for name in before}
        _record(held, actor, "organization.updated", before, after)
    return held


def delete_organization(organization: Organization, actor: audit.Actor, typed_name: str) -> None:
    """Closes it for everybody at once; its rows stay. `typed_name` must be its name, as a safeguard."""
    with changing(organization) as held:
        authority.require(held, actor, roles.Permission.DELETE_ORGANIZATION)
        require_typed_name(typed_name, held.name)
        held.deleted_at = timezone.now()
        held.save(update_fields=["deleted_at"])
        _record(held, actor, "organization.deleted", {"name": held.name}, None)


def _insert(name: str) -> Organization:
    """The name's slug where it is free, else with a few random letters after it."""
    stem = slugify(name)[:_LONGEST_SLUG_STEM].strip("-") or "org"
    slug = stem
    for _try in range(_SLUG_TRIES):
        if slug not in RESERVED_SLUGS:
            try:
                with transaction.atomic():
                    return Organization.objects.create(public_id=new_id("org"), name=name, slug=slug)
            except IntegrityError:
                if not Organization.objects.filter(slug=slug).exists():
                    raise
        slug = f"{stem}-{secrets.token_hex(3)}"
    raise RuntimeError(f"no free slug for {stem} in {_SLUG_TRIES} tries")


def _cleaned(settings: dict[str, Any]) -> dict[str, Any]:
    unknown = settings.keys() - _CLEANERS.keys()
    if unknown:
        raise TypeError(f"an organisation has no settings {sorted(unknown)}")
    return {name: _CLEANERS[name](value) for name, value in settings.items()}


def _clean_time_zone(value: str) -> str:
    if value not in available_timezones():
        raise InvalidField.one("time_zone", _("Unknown time zone."))
    return value


def _clean_strategy(value: str) -> str:
    if value not in STRATEGIES:
        raise InvalidField.one("default_strategy", _("Choose one of: %s.") % ", ".join(STRATEGIES))
    return value


def _clean_days(value: int, field: str) -> int:
    if not 1 <= value <= LONGEST_RETENTION_DAYS:
        message = _("Between 1 and %s days.") % LONGEST_RETENTION_DAYS
        raise InvalidField.one(field, message)
    return value


def _clean_order(value: str) -> str:
    if value not in SPENDING_ORDERS:
        raise InvalidField.one("spending_order", _("Choose one of: %s.") % ", ".join(SPENDING_ORDERS))
    return value


def _clean_models(value: Iterable[str]) -> list[str]:
    return cleaned_model_names(value, field="credit_backup_unlike")


_SPENDING = frozenset({"spending_order", "credit_backup", "credit_backup_unlike"})
_CLEANERS: dict[str, Any] = {
    "name": lambda value: cleaned_name(value, longest=LONGEST_NAME),
    "time_zone": _clean_time_zone,
    "default_strategy": _clean_strategy,
    "log_content": bool,
    "retention_days": lambda value: _clean_days(value, "retention_days"),
    "content_days": lambda value: _clean_days(value, "content_days"),
    "uses_community_nodes": bool,
    "spending_order": _clean_order,
    "credit_backup": bool,
    "credit_backup_unlike": _clean_models,
}


def _record(
    organization: Organization,
    actor: audit.Actor,
    action: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    audit.record(
        organization,
        actor,
        action,
        "organization",
        organization.public_id,
        label=organization.name,
        before=before,
        after=after,
    )
