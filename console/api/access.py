"""Who calls the management API: a key with the scope `manage`, or a person by the console's session.

Either way a request ends up with one `Access`, as DRF's `request.auth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import current, roles, sources
from accounts.audit import Actor
from accounts.authentication import MANAGE, Caller, KeyRecord, authenticate
from accounts.errors import NotPermitted
from accounts.models import ApiKey, Organization, User
from accounts.roles import Permission
from common.errors import MissingApiKey
from console.api.refusals import KEY_HEADERS, CsrfFailed, MethodNotAllowed, NoOrganization

_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Access:
    """`user` is None for a key, which acts for the organisation itself, as an admin."""

    organization: Organization
    actor: Actor
    role: str
    user: User | None = None

    def allows(self, permission: Permission) -> bool:
        return roles.allows(self.role, permission)


@dataclass(frozen=True, slots=True)
class KeyAccess:
    key: ApiKey
    scopes: frozenset[str]


class KeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[None, Access] | None:
        if not any(name in request.headers for name in KEY_HEADERS):
            return None
        row, record = key_of(request)
        Caller.of(record).require_scope(MANAGE)
        _note_use(row)
        agent = request.headers.get("user-agent", "")[:300]
        actor = Actor("key", record.public_id, record.name, current.address_of(request._request) or None, agent)
        return None, Access(row.org, actor, roles.ADMIN)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class OwnKey(BaseAuthentication):
    """Any key, for what is its own. Nobody else."""

    def authenticate(self, request: Request) -> tuple[None, KeyAccess]:
        row, record = key_of(request)
        _note_use(row)
        return None, KeyAccess(row, record.scopes)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class SessionAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, Access] | None:
        plain = request._request
        if not getattr(plain, "user", None) or not plain.user.is_authenticated:
            return None
        _require_csrf_token(plain)
        membership = current.membership_of(plain)
        if membership is None:
            raise NoOrganization
        access = Access(membership.org, current.actor_of(plain), membership.role, membership.user)
        return membership.user, access


class HasPermission(BasePermission):
    """Asks the view's `needs`: any one of the permissions named for the method will do."""

    def has_permission(self, request: Request, view: object) -> bool:
        access = cast("Access | None", request.auth)
        if access is None:
            raise MissingApiKey
        method = "GET" if request.method == "HEAD" else request.method
        needed: tuple[Permission, ...] | None = view.needs.get(method)  # type: ignore[attr-defined]
        if needed is None:
            raise MethodNotAllowed
        if access.user and method in view.proof:  # type: ignore[attr-defined]
            current.require_recent_authentication(request._request)
        if not any(access.allows(permission) for permission in needed):
            raise NotPermitted(needed[0])
        return True


def key_of(request: Request) -> tuple[ApiKey, KeyRecord]:
    """The key that a request carries. Raises: ShareAIError, as `accounts.authentication.authenticate`."""
    rows: list[ApiKey] = []

    def find(public_id: str) -> KeyRecord | None:
        rows.extend(filter(None, [sources.find_key_row(public_id)]))
        return sources.key_record(rows[0]) if rows else None

    record = authenticate(request.headers.get, current.address_of(request._request), find)
    return rows[0], record


def _note_use(key: ApiKey) -> None:
    now = timezone.now()
    if key.last_used_at is None or key.last_used_at < now - _NOTED_EVERY:
        is_old = Q(last_used_at=None) | Q(last_used_at__lt=now - _NOTED_EVERY)  # others note it at the same time
        ApiKey.objects.filter(is_old, pk=key.pk).update(last_used_at=now)


def _require_csrf_token(request: HttpRequest) -> None:
    check = CSRFCheck(lambda _request: HttpResponse())
    check.process_request(request)
    if check.process_view(request, None, (), {}):  # type: ignore[arg-type]
        raise CsrfFailed
