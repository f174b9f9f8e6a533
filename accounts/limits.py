"""Use cases of limits: read and set how much may come within a scope.

A row holds for its subject whatever key, route or machine a request takes besides; all that apply must have room.
The key's limits stay with the line of keys that replace each other: rotating one does not double what it may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from accounts import audit, budgets
from accounts.authority import require
from accounts.changes import changing
from accounts.errors import InvalidField
from accounts.models import ApiKey, Limit, Membership, Organization
from accounts.roles import Permission
from accounts.scopes import BLOCK, KEY, MEMBER, NODE, BudgetRecord
from accounts.sources import key_lines

KINDS = ("rpm", "rpd", "tpm", "tpd", "concurrency")
MOST_SLOTS = 1_000_000

Figures = dict[str, Any]
"""Each kind, None where nothing is set; `budgets` as `accounts.budgets` writes them, and `when_reached`."""

NONE: Figures = {**dict.fromkeys(KINDS), "budgets": [], "when_reached": BLOCK}


def find_limits(organization: Organization, scope: str, subject: str = "") -> Figures:
    return figures_of(Limit.objects.of(organization).filter(scope=scope, subject=subject).first())


def figures_of(row: Limit | None) -> Figures:
    if row is None:
        return {**NONE, "budgets": []}
    kinds = {kind: getattr(row, kind) for kind in KINDS}
    return {**kinds, "budgets": budgets.written(budgets.records_of(row)), "when_reached": row.when_reached}


def set_limits(
    organization: Organization,
    actor: audit.Actor,
    scope: str,
    subject: str = "",
    *,
    wishes: Mapping[str, Any],
    label: str = "",
) -> Figures:
    """Afterwards the limits are what `wishes` says: a kind that is left out, or None, has none.

    Every gateway process knows within a second.

    Raises:
        NotPermitted, InvalidField, OrganizationGone.
    """
    wanted = _cleaned(wishes, scope)
    records = budgets.read(wanted["budgets"])
    with changing(organization) as held:
        require(held, actor, Permission.MANAGE_LIMITS)
        before = find_limits(held, scope, subject)
        if wanted == before:
            return wanted
        _store(held, scope, subject, wanted, records)
        changed = [name for name in NONE if wanted[name] != before[name]]
        audit.record(
            held,
            actor,
            "limits.updated",
            scope,
            (subject or held.public_id)[:60],
            label=label or subject or held.name,
            before={kind: before[kind] for kind in changed},
            after={kind: wanted[kind] for kind in changed},
        )
    return wanted


def _store(held: Organization, scope: str, subject: str, wanted: Figures, records: Sequence[BudgetRecord]) -> None:
    """A row is there only where something is limited."""
    if records or any(wanted[kind] for kind in KINDS):
        stored = {name: value for name, value in wanted.items() if name != "budgets"}
        row, _is_new = Limit.objects.update_or_create(org=held, scope=scope, subject=subject, defaults=stored)
        budgets.replace(row, records)
    else:
        Limit.objects.of(held).filter(scope=scope, subject=subject).delete()


def set_member_limits(membership: Membership, actor: audit.Actor, wishes: Mapping[str, Any]) -> Figures:
    """As `set_limits`. They hold for all keys in the member's name together."""
    subject, label = str(membership.user_id), membership.user.email
    return set_limits(membership.org, actor, MEMBER, subject, wishes=wishes, label=label)


def find_member_limits(membership: Membership) -> Figures:
    return find_limits(membership.org, MEMBER, str(membership.user_id))


def set_key_limits(key: ApiKey, actor: audit.Actor, wishes: Mapping[str, Any]) -> Figures:
    """As `set_limits`. They hold for the key and those that it replaced or that replace it, together."""
    return set_limits(key.org, actor, KEY, subject_of_key(key), wishes=wishes, label=key.name)


class KeyFigures:
    """The limits of all keys of an organisation, read at once."""

    def __init__(self, organization: Organization) -> None:
        rows = Limit.objects.of(organization).filter(scope=KEY).prefetch_related("budgets")
        self._by_first = {int(row.subject): figures_of(row) for row in rows}
        lines = key_lines(organization.pk) if self._by_first else {}
        self._firsts = {later: first for first, line in lines.items() for later in line}

    def of(self, key: ApiKey) -> Figures:
        first = self._firsts.get(key.pk, key.pk)
        return self._by_first.get(first) or figures_of(None)


def subject_of_key(key: ApiKey) -> str:
    first = key
    while first.replaces is not None:
        first = first.replaces
    return str(first.pk)


def _cleaned(wishes: Mapping[str, Any], scope: str) -> Figures:
    unknown = sorted(set(wishes) - set(NONE))
    if unknown:
        raise TypeError(f"there are no limits {unknown}")
    mistakes: dict[str, list[str]] = {}
    for kind in KINDS:
        value = wishes.get(kind)
        most = MOST_SLOTS if kind == "concurrency" else budgets.MOST
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most):
            mistakes[kind] = [_("A whole number from 1 to %s, or nothing for no limit.") % f"{most:,}"]
    if mistakes:
        raise InvalidField(mistakes)
    wished = wishes.get("budgets") or []
    if wished and scope == NODE:
        raise InvalidField({"budgets": [_("A machine has no budgets.")]})
    return {
        **{kind: wishes.get(kind) for kind in KINDS},
        "budgets": budgets.written(budgets.read(wished)),
        "when_reached": budgets.checked_policy(wishes.get("when_reached")),
    }
