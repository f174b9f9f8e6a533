"""Use cases of API keys: create, change, rotate, revoke.

Who may `manage_keys` may do all of it with every key; who may `manage_own_keys` only with keys of the own name and
without the scope `manage`, which acts as an admin. The plain key is returned once, by the call that makes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from msgspec import UNSET, UnsetType

from accounts import apikeys, audit, fields
from accounts.audit_values import differences
from accounts.authentication import MANAGE
from accounts.authority import Authority, authority_of
from accounts.changes import changing
from accounts.errors import InvalidField, KeyNotActive, NotPermitted
from accounts.models import ApiKey, Membership, Organization, User
from accounts.roles import Permission, allows

MOST_ACTIVE_KEYS = 1000
LONGEST_OVERLAP_S = 30 * 24 * 3600
_INHERITED = ("name", "scopes", "allowed_models", "ip_allow", "tags", "logs_content")


class PlainKey(NamedTuple):
    """A stored key together with its text, which exists nowhere else and is to be shown once."""

    key: ApiKey
    plain: str

    def __repr__(self) -> str:
        return f"PlainKey({self.key.prefix})"


def active_keys(organization: Organization) -> QuerySet[ApiKey]:
    keys: QuerySet[ApiKey] = ApiKey.objects.of(organization)
    return keys.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)


def create_key(
    organization: Organization,
    actor: audit.Actor,
    *,
    name: str,
    scopes: Iterable[str],
    created_by: User | None,
    allowed_models: Iterable[str] | None = None,
    ip_allow: Iterable[str] = (),
    tags: Iterable[str] = (),
    logs_content: bool = True,
    expires_at: datetime | None = None,
    is_ephemeral: bool = False,
) -> PlainKey:
    """Makes a key in the name of `created_by`, a member, or of the organisation itself when None.

    Raises:
        NotPermitted, InvalidField, OrganizationGone.
    """
    now = timezone.now()
    wanted = _cleaned(
        now,
        name=name,
        scopes=scopes,
        allowed_models=allowed_models,
        ip_allow=ip_allow,
        tags=tags,
        logs_content=logs_content,
        expires_at=expires_at,
    )
    if is_ephemeral:
        fields.require_ephemeral(wanted["scopes"], wanted["expires_at"], now)
    with changing(organization) as held:
        rights = authority_of(held, actor)
        _require_right(rights, created_by.pk if created_by else None, wanted["scopes"], is_ephemeral)
        _require_member(held, created_by)
        _require_room(held)
        made = _insert(held, **wanted, created_by=created_by, is_ephemeral=is_ephemeral)
        _record(held, actor, "api_key.created", made.key, None, _described(made.key))
    return made


def update_key(
    key: ApiKey,
    actor: audit.Actor,
    *,
    name: str | UnsetType = UNSET,
    scopes: Iterable[str] | UnsetType = UNSET,
    allowed_models: Iterable[str] | UnsetType | None = UNSET,
    ip_allow: Iterable[str] | UnsetType = UNSET,
    tags: Iterable[str] | UnsetType = UNSET,
    logs_content: bool | UnsetType = UNSET,
    expires_at: datetime | UnsetType | None = UNSET,
) -> ApiKey:
    """Changes what is given. Raises: NotPermitted, InvalidField, KeyNotActive, OrganizationGone."""
    given = {
        "name": name,
        "scopes": scopes,
        "allowed_models": allowed_models,
        "ip_allow": ip_allow,
        "tags": tags,
        "logs_content": logs_content,
        "expires_at": expires_at,
    }
    now = timezone.now()
    wanted = _cleaned(now, **{field: value for field, value in given.items() if value is not UNSET})
    with changing(key.org) as held:
        current = _current(held, key)
        _require_right(
            authority_of(held, actor), current.created_by_id, [*current.scopes, *wanted.get("scopes", [])], False
        )
        _require_active(current, now)
        before = _described(current)
        for field, value in wanted.items():
            setattr(current, field, value)
        if current.is_ephemeral:
            fields.require_ephemeral(current.scopes, current.expires_at, now)
        if _described(current) != before:
            current.save(update_fields=list(wanted))
            _record(held, actor, "api_key.updated", current, *differences(before, _described(current)))
    return current


def revoke_key(key: ApiKey, actor: audit.Actor) -> ApiKey:
    """Ends the key for good; once more changes nothing. One may always revoke one's own. Raises: NotPermitted."""
    with changing(key.org) as held:
        current = _current(held, key)
        rights = authority_of(held, actor)
        if not _is_own(rights, current.created_by_id):
            rights.require(Permission.MANAGE_KEYS)
        if current.revoked_at is None:
            _revoke(held, actor, current)
    return current


def rotate_key(
    key: ApiKey, actor: audit.Actor, *, overlap_s: int = 0, expires_at: datetime | UnsetType | None = UNSET
) -> PlainKey:
    """A new key with the same rights; the old one works for `overlap_s` more seconds, never longer than before.

    Args:
        expires_at: of the new key; by default it lives as long from now as the old one was meant to.

    Raises:
        NotPermitted, InvalidField, KeyNotActive (also when the key is replaced already), OrganizationGone.
    """
    now = timezone.now()
    if not 0 <= overlap_s <= LONGEST_OVERLAP_S:
        message = _("Between 0 and %s seconds.") % LONGEST_OVERLAP_S
        raise InvalidField.one("overlap_s", message)
    with changing(key.org) as held:
        old = _current(held, key)
        _require_right(authority_of(held, actor), old.created_by_id, old.scopes, old.is_ephemeral)
        _require_active(old, now)
        if ApiKey.objects.of(held).filter(replaces=old).exists():
            raise KeyNotActive(_("This key is replaced already; rotate the new one."))
        same = {field: getattr(old, field) for field in _INHERITED}
        expiry = _renewed(old, now) if expires_at is UNSET else fields.cleaned_expiry(expires_at, now)
        made = _insert(
            held, **same, expires_at=expiry, created_by=old.created_by, is_ephemeral=old.is_ephemeral, replaces=old
        )
        end = now + timedelta(seconds=overlap_s)
        before = _described(old)
        old.expires_at = min(old.expires_at, end) if old.expires_at else end
        old.save(update_fields=["expires_at"])
        after = {"expires_at": old.expires_at.isoformat(), "replaced_by": made.key.public_id}
        _record(held, actor, "api_key.rotated", old, {"expires_at": before["expires_at"]}, after)
    return made


def revoke_beyond(organization: Organization, actor: audit.Actor, user_id: int, old_role: str, new_role: str) -> int:
    """Revokes the keys that the user made by a right which the new role ("" for none) has no more.

    Part of a change of role or a removal, inside its transaction. Returns how many.
    """
    kept = _keys_within(new_role)
    ended = 0
    for key in active_keys(organization).filter(created_by_id=user_id):
        if kept(key) or not (new_role == "" or _keys_within(old_role)(key)):
            continue
        _revoke(organization, actor, key)
        ended += 1
    return ended


def _keys_within(role: str) -> Any:
    """Whether somebody of this role could have made a given key in the own name."""

    def within(key: ApiKey) -> bool:
        if allows(role, Permission.MANAGE_KEYS):
            return True
        own = Permission.USE_PLAYGROUND if key.is_ephemeral else Permission.MANAGE_OWN_KEYS
        return MANAGE not in key.scopes and allows(role, own)

    return within


def _cleaned(now: datetime, **given: Any) -> dict[str, Any]:
    """All fields are looked at before the refusal, so that a form shows every mistake at once."""
    cleaners: dict[str, Any] = {
        "name": lambda value: fields.cleaned_name(value, longest=80),
        "scopes": fields.cleaned_scopes,
        "allowed_models": fields.cleaned_models,
        "ip_allow": fields.cleaned_networks,
        "tags": fields.cleaned_tags,
        "logs_content": bool,
        "expires_at": lambda value: fields.cleaned_expiry(value, now),
    }
    wanted: dict[str, Any] = {}
    mistakes: dict[str, list[str]] = {}
    for name, value in given.items():
        try:
            wanted[name] = cleaners[name](value)
        except InvalidField as refusal:
            mistakes |= refusal.fields
    if mistakes:
        raise InvalidField(mistakes)
    return wanted


def _is_own(rights: Authority, created_by_id: int | None) -> bool:
    return rights.user_id is not None and rights.user_id == created_by_id


def _require_right(rights: Authority, created_by_id: int | None, scopes: list[str], is_ephemeral: bool) -> None:
    if rights.allows(Permission.MANAGE_KEYS):
        return
    if MANAGE in scopes or not _is_own(rights, created_by_id):
        raise NotPermitted(Permission.MANAGE_KEYS)
    rights.require(Permission.USE_PLAYGROUND if is_ephemeral else Permission.MANAGE_OWN_KEYS)


def _require_member(organization: Organization, user: User | None) -> None:
    if user and not Membership.objects.of(organization).filter(user=user).exists():
        raise InvalidField.one("created_by", _("This person is not a member."))


def _require_room(organization: Organization) -> None:
    if active_keys(organization).count() >= MOST_ACTIVE_KEYS:
        message = _("An organisation has at most %s active keys. Revoke some first.") % MOST_ACTIVE_KEYS
        raise InvalidField.one("name", message)


def _require_active(key: ApiKey, now: datetime) -> None:
    status = key.status(now)
    if status != "active":
        sentences = {"revoked": _("This key is revoked."), "expired": _("This key has expired.")}
        raise KeyNotActive(sentences[status])


def _current(organization: Organization, key: ApiKey) -> ApiKey:
    return ApiKey.objects.get_of(organization, pk=key.pk)


def _insert(organization: Organization, **values: Any) -> PlainKey:
    minted = apikeys.mint()
    key = ApiKey.objects.create(
        org=organization, public_id=minted.public_id, secret_hash=minted.secret_hash, **values
    )
    return PlainKey(key, minted.key)


def _renewed(old: ApiKey, now: datetime) -> datetime | None:
    return now + (old.expires_at - old.created_at) if old.expires_at else None


def _revoke(organization: Organization, actor: audit.Actor, key: ApiKey) -> None:
    key.revoked_at = timezone.now()
    key.save(update_fields=["revoked_at"])
    _record(organization, actor, "api_key.revoked", key, _described(key), None)


def _described(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": key.scopes,
        "allowed_models": key.allowed_models,
        "ip_allow": key.ip_allow,
        "tags": key.tags,
        "logs_content": key.logs_content,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }


def _record(
    organization: Organization,
    actor: audit.Actor,
    action: str,
    key: ApiKey,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    audit.record(organization, actor, action, "api_key", key.public_id, label=key.name, before=before, after=after)
